"""Feature losses against loops that are written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from core.distill.features.hidden import fitted_projection, hidden_loss
from core.distill.features.relations import relation_heads, relation_loss

ROWS, LENGTH = 2, 5
COUNTED = torch.tensor([[True, True, True, True, False], [True, False, True, False, False]])


def draw(seed: int, width: int) -> Tensor:
    return torch.randn(ROWS, LENGTH, width, generator=torch.Generator().manual_seed(seed))


def test_hidden_states_are_compared_as_shares_of_the_teachers_mean_square() -> None:
    target, found = ({"0": draw(seed, 6), "1": scale * draw(seed + 1, 6)} for seed, scale in ((1, 1000.0), (5, 900.0)))
    expected = 0.0
    for name in ("0", "1"):
        difference, size = 0.0, 0.0
        for row, place in COUNTED.nonzero().tolist():
            for channel in range(6):
                difference += float(target[name][row, place, channel] - found[name][row, place, channel]) ** 2
                size += float(target[name][row, place, channel]) ** 2
        expected += difference / size / 2
    assert float(hidden_loss(target, found, COUNTED, nn.ModuleDict())) == pytest.approx(expected, rel=1e-5)


def test_equal_states_lose_nothing_and_the_scale_of_the_model_does_not_matter() -> None:
    target, found = {"0": draw(1, 6)}, {"0": draw(2, 6)}
    none = nn.ModuleDict()
    assert float(hidden_loss(target, target, COUNTED, none)) == 0
    scaled = hidden_loss({"0": 50 * target["0"]}, {"0": 50 * found["0"]}, COUNTED, none)
    assert float(scaled) == pytest.approx(float(hidden_loss(target, found, COUNTED, none)), rel=1e-5)


def test_a_projection_begins_where_no_other_is_nearer() -> None:
    found, mixing = draw(1, 3).flatten(0, 1), torch.randn(3, 8, generator=torch.Generator().manual_seed(9))
    target = found @ mixing + 0.1 * draw(4, 8).flatten(0, 1)
    projection = fitted_projection(target, found)
    assert projection.weight.shape == (8, 3)
    least = float((projection(found) - target).square().sum().detach())
    for seed in range(20):
        moved = projection.weight + 0.01 * torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
        assert float((found @ moved.T - target).square().sum().detach()) > least


def relation(states: Tensor, row: int, head: int, width: int, place: int) -> list[float]:
    part = states[row, :, head * width : (head + 1) * width].double()
    scores = [float(part[place] @ part[other]) / math.sqrt(width) for other in range(place + 1)]
    total = sum(math.exp(score) for score in scores)
    return [math.exp(score) / total for score in scores]


@pytest.mark.parametrize(("theirs", "ours"), [(8, 8), (8, 4), (12, 8)])
def test_relations_are_compared_head_by_head_and_token_by_token(theirs: int, ours: int) -> None:
    heads = relation_heads(theirs, ours, 4)
    target, found = {"q": draw(1, theirs)}, {"q": draw(2, ours)}
    losses = []
    for row, place in COUNTED.nonzero().tolist():
        per_head = []
        for head in range(heads):
            p = relation(target["q"], row, head, theirs // heads, place)
            q = relation(found["q"], row, head, ours // heads, place)
            per_head.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
        losses.append(sum(per_head) / heads)
    assert float(relation_loss(target, found, COUNTED, 4)) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize(("theirs", "ours", "most", "heads"), [(64, 64, 8, 8), (64, 48, 64, 16), (7, 3, 64, 1), (12, 8, 3, 2)])
def test_relation_heads_divide_both_widths(theirs: int, ours: int, most: int, heads: int) -> None:
    assert relation_heads(theirs, ours, most) == heads


def test_relations_have_gradients_where_nothing_is_related_yet() -> None:
    found = draw(2, 8).requires_grad_()
    relation_loss({"q": draw(1, 8)}, {"q": found}, COUNTED, 4).backward()
    assert found.grad is not None
    assert bool(found.grad.isfinite().all())
    assert float(found.grad.abs().max()) > 0

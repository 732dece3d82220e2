"""Exact counts, and of equal scores the lower index, against a stable sort."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.prune.weights.order import choose, lowest, lowest_of_group
from core.prune.weights.pattern import Pattern


def by_stable_sort(scores: torch.Tensor, count: int) -> torch.Tensor:
    expected = torch.zeros_like(scores, dtype=torch.bool)
    for row, values in enumerate(scores.tolist()):
        expected[row, sorted(range(len(values)), key=lambda index: (values[index], index))[:count]] = True
    return expected


@settings(max_examples=80, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 40), levels=st.integers(1, 30), seed=st.integers(0, 10**6), data=st.data())
def test_lowest_equals_a_stable_sort(rows: int, columns: int, levels: int, seed: int, data: st.DataObject) -> None:
    scores = torch.randint(0, levels, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()
    count = data.draw(st.integers(0, columns))
    found = lowest(scores, count)
    assert torch.equal(found, by_stable_sort(scores, count))


@settings(max_examples=60, deadline=None)
@given(members=st.integers(2, 20), levels=st.integers(1, 30), seed=st.integers(0, 10**6), data=st.data())
def test_lowest_of_group_equals_a_stable_sort(members: int, levels: int, seed: int, data: st.DataObject) -> None:
    scores = torch.randint(0, levels, (members, 7), generator=torch.Generator().manual_seed(seed)).float()
    count = data.draw(st.integers(0, members))
    assert torch.equal(lowest_of_group(scores, count), by_stable_sort(scores.t(), count).t())


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
def test_constant_scores_lose_their_first_weights_and_no_more(value: float) -> None:
    scores = torch.full((4, 10), value)
    assert choose(scores, Pattern(0.35)).int().tolist() == [[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]] * 4
    assert choose(scores, Pattern(0.35, scope="matrix")).flatten().nonzero().flatten().tolist() == list(range(14))
    assert choose(scores[:, :8], Pattern(keep=(1, 4))).int().tolist() == [[1, 1, 1, 0] * 2] * 4


def test_groups_are_runs_of_inputs() -> None:
    scores = torch.tensor([[4.0, 1.0, 3.0, 2.0, 10.0, 30.0, 20.0, 40.0]])
    assert choose(scores, Pattern(keep=(2, 4))).nonzero()[:, 1].tolist() == [1, 3, 4, 6]


def test_a_tail_is_refused() -> None:
    with pytest.raises(RequestError, match="groups of 4 do not divide"):
        choose(torch.ones(2, 6), Pattern(keep=(2, 4)))

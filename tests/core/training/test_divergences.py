"""Losses between predictions against their definitions in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.training.divergences import DIVERGENCES, SKEW, forward_kl, total_variation


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(-1)


DEFINITIONS = {
    "forward-kl": kl,
    "reverse-kl": lambda p, q: kl(q, p),
    "jensen-shannon": lambda p, q: 0.5 * (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)),
    "skew-forward-kl": lambda p, q: kl(p, SKEW * p + (1 - SKEW) * q),
    "skew-reverse-kl": lambda p, q: kl(q, SKEW * q + (1 - SKEW) * p),
    "total-variation": lambda p, q: 1 - torch.minimum(p, q).sum(-1),
}


def predictions(seed: int, scale: float = 1.0, words: int = 5) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    first, second = ((scale * torch.randn(2, 3, words, generator=draw, dtype=torch.float64)).log_softmax(-1) for _ in range(2))
    return first, second


def test_every_divergence_has_its_definition_here() -> None:
    assert DEFINITIONS.keys() == DIVERGENCES.keys()


@pytest.mark.parametrize("name", DIVERGENCES)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 6))
def test_they_are_what_their_definitions_say_one_per_position(name: str, seed: int, scale: float) -> None:
    target, found = predictions(seed, scale)
    expected = DEFINITIONS[name](target.exp(), found.exp())
    torch.testing.assert_close(DIVERGENCES[name](target, found), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_equal_predictions_give_exactly_zero(name: str) -> None:
    same = (8 * torch.randn(7, 300, generator=torch.Generator().manual_seed(1))).log_softmax(-1)
    assert not DIVERGENCES[name](same, same.clone()).any()


@pytest.mark.parametrize("name", DIVERGENCES)
def test_equal_logits_give_no_gradient(name: str) -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    student = logits.clone().requires_grad_()
    DIVERGENCES[name](logits.log_softmax(-1), student.log_softmax(-1)).sum().backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-15


@pytest.mark.parametrize("name", [name for name in DIVERGENCES if name != "total-variation"])
def test_gradients_are_those_of_differences(name: str) -> None:
    target, _ = predictions(3)
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: DIVERGENCES[name](target, given.log_softmax(-1)), (logits,))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_words_that_the_teacher_excludes_contribute_their_limit(name: str) -> None:
    target = torch.tensor([[0.0, 1.0, -torch.inf]]).log_softmax(-1)
    logits = torch.tensor([[0.3, 0.1, 0.2]], requires_grad=True)
    loss = DIVERGENCES[name](target, logits.log_softmax(-1))
    loss.sum().backward()
    assert not loss.isnan().any()
    assert logits.grad is not None
    if name == "reverse-kl":
        assert bool(loss.isinf().all())
    else:
        assert bool(loss.isfinite().all())
        assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("name", ["jensen-shannon", "skew-forward-kl", "skew-reverse-kl"])
def test_mixtures_stay_finite_however_far_apart_predictions_are(name: str) -> None:
    target, found = torch.tensor([[0.0, -400.0]]).log_softmax(-1), torch.tensor([[-400.0, 0.0]]).log_softmax(-1)
    limit = {"jensen-shannon": math.log(2)}.get(name, -math.log(SKEW))
    assert float(DIVERGENCES[name](target, found)) == pytest.approx(limit, rel=1e-5)


def test_forward_kl_is_summed_over_words_and_not_averaged() -> None:
    target, found = predictions(5, words=11)
    assert forward_kl(target, found).shape == (2, 3)
    assert float(total_variation(target, found).max()) <= 1

"""What is kept of predictions: bounds, means and optima, against the whole distributions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.distill.teacher.kept import divergence, keep

WORDS = 40


def logits(seed: int, rows: int = 6, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(rows, WORDS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(target: Tensor, found: Tensor) -> Tensor:
    p, q = target.softmax(-1), found.softmax(-1)
    return (p * (p / q).log()).sum(-1)


@given(seed=st.integers(0, 2**31), count=st.integers(1, WORDS + 3))
def test_likeliest_words_with_a_rest_are_a_coarser_kl(seed: int, count: int) -> None:
    target, found = logits(seed), logits(seed + 1)
    kept = keep(target, "top", count)
    p, q = target.softmax(-1), found.softmax(-1)
    expected = []
    for row in range(len(target)):
        chosen = sorted(range(WORDS), key=lambda word, row=row: -float(p[row, word]))[:count]  # type: ignore[misc]
        total = sum(float(p[row, word] * (p[row, word] / q[row, word]).log()) for word in chosen)
        if count < WORDS:
            rest, left = 1 - float(p[row, chosen].sum()), 1 - float(q[row, chosen].sum())
            total += rest * float(torch.tensor(rest / left, dtype=torch.float64).log())
        expected.append(total)
    found_divergence = divergence(kept, found, "top")
    torch.testing.assert_close(found_divergence, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-7)
    assert bool((found_divergence <= whole(target, found) + 1e-7).all())


def test_all_words_kept_are_the_whole_divergence() -> None:
    target, found = logits(1), logits(2)
    torch.testing.assert_close(divergence(keep(target, "top", WORDS), found, "top"), whole(target, found), rtol=1e-6, atol=1e-8)


def test_with_a_rest_the_optimum_is_the_teacher_and_without_it_would_be_too_sure() -> None:
    """Gradient descent on the student's logits: with the rest in a bucket the kept words end at the teacher's probabilities."""
    target = logits(3, rows=1, scale=1.0)
    kept = keep(target, "top", 5)
    ends = {}
    for with_rest in (True, False):
        student = torch.zeros(1, WORDS, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([student], max_iter=200, line_search_fn="strong_wolfe")

        def loss(with_rest: bool = with_rest, student: Tensor = student, optimizer: torch.optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            shares = kept.log_probabilities.exp()
            renormalised = shares / shares.sum()
            ours = student.log_softmax(-1).gather(-1, kept.words)
            value = divergence(kept, student, "top").sum() if with_rest else (renormalised * (renormalised.log() - ours)).sum()
            value.backward()
            return value

        optimizer.step(loss)
        ends[with_rest] = student.detach().softmax(-1).gather(-1, kept.words)
    shares = target.softmax(-1).gather(-1, kept.words)
    torch.testing.assert_close(ends[True], shares, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ends[False], shares / shares.sum(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("count", [1, 12])
def test_the_mean_gradient_of_drawn_words_is_that_of_the_whole_divergence(count: int) -> None:
    """Random-sampling distillation: over 1e5 draws within 4 standard errors, word by word."""
    draws = 100_000 // count
    target, found = logits(4, rows=1), logits(5, rows=1)
    p, q = target.softmax(-1)[0], found.softmax(-1)[0]
    kept = keep(target.expand(draws, -1), "drawn", count, torch.Generator().manual_seed(6))
    student = found.expand(draws, -1).clone().requires_grad_()
    divergence(kept, student, "drawn").sum().backward()
    assert student.grad is not None
    mean, error = student.grad.mean(0), student.grad.std(0) / draws**0.5
    assert bool(((mean - (q - p)).abs() <= 4 * error + 1e-12).all())


def test_the_mean_of_drawn_divergences_is_the_divergence() -> None:
    target, found = logits(7, rows=1), logits(8, rows=1)
    kept = keep(target.expand(50_000, -1), "drawn", 4, torch.Generator().manual_seed(9))
    values = divergence(kept, found.expand(50_000, -1), "drawn")
    assert abs(float(values.mean() - whole(target, found))) <= 4 * float(values.std()) / 50_000**0.5


def test_a_student_that_is_its_teacher_loses_nothing() -> None:
    target = logits(10)
    for kind in ("top", "drawn"):
        kept = keep(target, kind, 8, torch.Generator().manual_seed(1))
        assert float(divergence(kept, target, kind).abs().max()) < 1e-12

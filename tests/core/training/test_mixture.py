"""The loss of a position against formulas written out for five words."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.training.divergences import DIVERGENCES
from core.training.mixture import Mixture

TARGET = torch.tensor([[2.0, 0.5, -1.0, 0.0, 3.0]], dtype=torch.float64)
FOUND = torch.tensor([[0.3, 1.0, -0.2, 2.0, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([3])


def softmax(logits: Tensor, temperature: float) -> list[float]:
    powers = [math.exp(float(value) / temperature) for value in logits[0]]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_it_is_hintons_formula(alpha: float, temperature: float) -> None:
    p, q = softmax(TARGET, temperature), softmax(FOUND, temperature)
    divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    expected = alpha * temperature**2 * divergence - (1 - alpha) * math.log(softmax(FOUND, 1)[3])
    total, parts = Mixture(alpha=alpha, temperature=temperature).losses(TARGET if alpha else None, FOUND, LABELS)
    assert float(total) == pytest.approx(expected, abs=1e-12)
    assert parts.keys() == {name for name, weight in (("divergence", alpha), ("cross_entropy", 1 - alpha)) if weight}


def test_the_temperature_does_not_touch_cross_entropy() -> None:
    cold, warm = (Mixture(alpha=0.5, temperature=temperature).losses(TARGET, FOUND, LABELS)[1] for temperature in (1.0, 5.0))
    assert torch.equal(cold["cross_entropy"], warm["cross_entropy"])
    assert not torch.equal(cold["divergence"], warm["divergence"])


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_student_that_is_its_teacher_loses_nothing(name: str) -> None:
    mixture = Mixture(DIVERGENCES[name], temperature=3.0)
    student = TARGET.clone().requires_grad_()
    total, _ = mixture.losses(TARGET, student, LABELS)
    total.sum().backward()
    assert float(total.detach()) == 0
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-15


def test_at_a_high_temperature_the_gradient_is_that_of_half_squared_differences() -> None:
    """T² KL tends to Σ (z_p - z_q)² / 2V for centred logits (arXiv 1503.02531, section 2.1)."""
    target, found = (logits - logits.mean() for logits in (TARGET, FOUND))
    found = found.requires_grad_()
    Mixture(temperature=1e4).losses(target, found, LABELS)[0].sum().backward()
    torch.testing.assert_close(found.grad, (found.detach() - target) / 5, rtol=1e-3, atol=1e-5)

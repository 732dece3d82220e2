"""Errors of outputs, computed from the Hessian alone, are those of the outputs themselves."""

import math
from dataclasses import asdict

import pytest
import torch

from core.numerics import errors
from core.numerics.errors import output_error, weight_error


def test_output_error_equals_that_of_the_outputs() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, inputs = torch.randn(12, 20, generator=generator), torch.randn(300, 20, generator=generator)
    other = weight + 0.1 * torch.randn(12, 20, generator=generator)
    outputs, others = inputs @ weight.t(), inputs @ other.t()
    error = output_error(weight, other, 2 / 300 * inputs.t() @ inputs)
    assert error.relative == pytest.approx(float((outputs - others).norm() / outputs.norm()), rel=1e-4)
    assert error.cosine == pytest.approx(float(torch.cosine_similarity(outputs.flatten(), others.flatten(), 0)), rel=1e-5)


def test_weight_error_equals_its_definitions() -> None:
    original, other = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 3.0]])
    error = weight_error(original, other)
    assert (error.mean_absolute, error.maximum_absolute, error.mean_squared, error.relative) == (0.5, 1.0, 0.5, 0.2)
    assert error.cosine == pytest.approx((9 + 12) / (5 * 18**0.5))


def test_no_error_is_none_and_a_zero_original_is_not_divided_by() -> None:
    zero = torch.zeros(2, 2)
    assert weight_error(zero, zero).relative == 0.0
    assert weight_error(zero, zero).cosine == 1.0
    assert weight_error(zero, torch.ones(2, 2)).relative == float("inf")


def test_large_tensors_are_compared_in_parts_that_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, other, inputs = (torch.randn(37, 20, generator=generator) for _ in range(3))
    hessian = inputs.t() @ inputs
    whole = weight_error(weight, other), output_error(weight, other, hessian)
    monkeypatch.setattr(errors, "_AT_ONCE", 100)
    parts = weight_error(weight, other), output_error(weight, other, hessian)
    for one, another in zip(whole, parts, strict=True):
        assert asdict(one) == pytest.approx(asdict(another), rel=1e-5)  # type: ignore[call-overload]
    other[20, 3] = float("nan")
    assert math.isnan(weight_error(weight, other).maximum_absolute)

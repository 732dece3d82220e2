"""Measures of how far an approximation is from the original, for weights and for a linear's outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.numerics.products import product_nt

_AT_ONCE = 2**19
"""Numbers that are compared at a time."""


@dataclass(frozen=True)
class WeightError:
    """Element-wise distance of an approximation from the original tensor."""

    mean_absolute: float
    maximum_absolute: float
    mean_squared: float
    relative: float
    """Frobenius norm of the difference over that of the original."""
    cosine: float


@dataclass(frozen=True)
class OutputError:
    """Distance of a linear's outputs, over the inputs that a Hessian was collected from."""

    relative: float
    """Root of the summed squared output error over the summed squared output."""
    cosine: float


def weight_error(original: Tensor, approximation: Tensor) -> WeightError:
    """Compare two tensors of one shape; sums are taken in float64, a few rows at a time."""
    squared = energy = inner = other = absolute = largest = 0.0
    for first, second in _rows(original, approximation):
        difference = (second - first).abs_()
        squared, energy = squared + _dot(difference, difference), energy + _dot(first, first)
        inner, other = inner + _dot(first, second), other + _dot(second, second)
        absolute += float(difference.sum(dtype=torch.float64))
        largest = _larger(largest, float(difference.max()))
    return WeightError(
        mean_absolute=absolute / original.numel(),
        maximum_absolute=largest,
        mean_squared=squared / original.numel(),
        relative=_root_ratio(squared, energy),
        cosine=_cosine(inner, energy, other),
    )


def output_error(original: Tensor, approximation: Tensor, hessian: Tensor) -> OutputError:
    """Compare y = x Wᵀ of two weights over all inputs behind a Hessian, without the inputs.

    Since H is proportional to Σ x xᵀ, the inner product of the outputs of A and B is tr(A H Bᵀ).

    Args:
        original: float32 [out, in].
        approximation: float32 [out, in].
        hessian: float32 [in, in], symmetric, undamped.
    """
    energy = cross = squared = 0.0
    for first, second in _rows(original, approximation):
        difference = second - first
        outputs = product_nt(first, hessian)
        energy, cross = energy + _dot(outputs, first), cross + _dot(outputs, difference)
        squared += _dot(product_nt(difference, hessian), difference)
    return OutputError(relative=_root_ratio(squared, energy), cosine=_cosine(energy + cross, energy, energy + 2 * cross + squared))


def rows_error(original: Tensor, approximation: Tensor, rows: Tensor) -> float:
    """Root of the summed squared output error over the summed squared output, for inputs that are given.

    Args:
        original: float32 [out, in].
        approximation: float32 [out, in].
        rows: float32 [n, in].
    """
    squared = energy = 0.0
    for first, second in _rows(original, approximation):
        outputs, difference = product_nt(rows, first), product_nt(rows, second - first)
        squared, energy = squared + _dot(difference, difference), energy + _dot(outputs, outputs)
    return _root_ratio(squared, energy)


def _rows(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both tensors in parts of moderate size."""
    at_once = max(_AT_ONCE // max(first[0].numel(), 1), 1) if first.ndim > 1 else _AT_ONCE
    return zip(torch.split(first, at_once), torch.split(second, at_once), strict=True)


def _dot(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum(dtype=torch.float64))


def _larger(one: float, other: float) -> float:
    """The larger; NaN when one is."""
    return other if math.isnan(other) or other > one else one


def _root_ratio(squared: float, energy: float) -> float:
    if energy <= 0:
        return 0.0 if squared <= 0 else float("inf")
    return math.sqrt(max(squared, 0.0) / energy)


def _cosine(inner: float, first: float, second: float) -> float:
    norm = math.sqrt(max(first, 0.0) * max(second, 0.0))
    if norm == 0:
        return 1.0 if first == second else 0.0
    return min(1.0, max(-1.0, inner / norm))

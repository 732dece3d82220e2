"""Measures of how far an approximation is from the original, for weights and for a linear's outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.numerics.products import product_nt


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
    """Compare two tensors of one shape; sums are taken in float64."""
    difference = (approximation - original).abs()
    squared, energy = _dot(difference, difference), _dot(original, original)
    return WeightError(
        mean_absolute=float(difference.mean(dtype=torch.float64)),
        maximum_absolute=float(difference.max()),
        mean_squared=squared / original.numel(),
        relative=_root_ratio(squared, energy),
        cosine=_cosine(_dot(original, approximation), energy, _dot(approximation, approximation)),
    )


def output_error(original: Tensor, approximation: Tensor, hessian: Tensor) -> OutputError:
    """Compare y = x Wᵀ of two weights over all inputs behind a Hessian, without the inputs.

    Since H is proportional to Σ x xᵀ, the inner product of the outputs of A and B is tr(A H Bᵀ).

    Args:
        original: float32 [out, in].
        approximation: float32 [out, in].
        hessian: float32 [in, in], symmetric, undamped.
    """
    difference = approximation - original
    outputs = product_nt(original, hessian)
    energy, cross = _dot(outputs, original), _dot(outputs, difference)
    squared = _dot(product_nt(difference, hessian), difference)
    return OutputError(relative=_root_ratio(squared, energy), cosine=_cosine(energy + cross, energy, energy + 2 * cross + squared))


def _dot(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum(dtype=torch.float64))


def _root_ratio(squared: float, energy: float) -> float:
    if energy <= 0:
        return 0.0 if squared <= 0 else float("inf")
    return math.sqrt(max(squared, 0.0) / energy)


def _cosine(inner: float, first: float, second: float) -> float:
    norm = math.sqrt(max(first, 0.0) * max(second, 0.0))
    if norm == 0:
        return 1.0 if first == second else 0.0
    return min(1.0, max(-1.0, inner / norm))

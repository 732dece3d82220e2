"""What the weights that are left should be: least squares on the kept support, by conjugate gradients from the Gram matrix alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.cholesky import live_diagonal
from core.numerics.products import product_nt

_ROWS = 1024
"""Rows of a weight that are solved at once."""
_SETTLED = 1e-13
"""Share of the squared first residual at which a row is done."""


@dataclass(frozen=True)
class Normalized:
    """A damped Hessian scaled to a diagonal of ones, so that features of very different size weigh the same to a solver."""

    gram: Tensor
    """float32 [in, in]: H_damped[i, j] / (norms[i] norms[j])."""
    norms: Tensor
    """float32 [in]: the square roots of the damped diagonal."""


def normalize(hessian: Tensor, damp: float) -> Normalized:
    """Scale float32 [in, in], damped by a share of its mean diagonal; inputs that were always zero get the mean. Raises RunFailed: NaN, Inf."""
    diagonal, _, mean = live_diagonal(hessian)
    norms = (diagonal + damp * mean).sqrt()
    gram = hessian / norms
    gram /= norms.unsqueeze(1)
    gram.diagonal().fill_(1)
    return Normalized(gram, norms)


def refit(weight: Tensor, removed: Tensor, hessian: Tensor, *, damp: float = 0.01, start: Tensor | None = None, steps: int = 100) -> Tensor:
    """The weight with zeros where `removed` is set whose output is nearest to that of `weight`, row by row.

    Args:
        weight: float32 [out, in], what is approximated.
        removed: bool [out, in].
        hessian: float32 [in, in], (2/N) Σ x xᵀ of the inputs.
        damp: added to the diagonal, as a share of its mean.
        start: float32 [out, in] to begin at, for example the result of SparseGPT; None: `weight`.
        steps: most steps of conjugate gradients; a part of the rows ends earlier where a step lowers its error by less than a 10,000th.

    Returns:
        float32 [out, in]: B, zero where removed, that lowers ½ tr((W - B) H_damped (W - B)ᵀ).

    Raises:
        RunFailed: the Hessian holds NaN or infinity.
    """
    normalized = normalize(hessian, damp)
    target = weight * normalized.norms
    begun = target if start is None else start * normalized.norms
    found = on_support(target, begun, removed, normalized.gram, steps=steps)
    found /= normalized.norms
    return found


def on_support(target: Tensor, start: Tensor, removed: Tensor, gram: Tensor, *, steps: int = 100, tolerance: float = 1e-4) -> Tensor:
    """Minimize (T - B) G (T - B)ᵀ over B, zero where removed, from `start`.

    Args:
        target: float32 [out, in].
        start: float32 [out, in].
        removed: bool [out, in].
        gram: float32 [in, in], positive definite, with a diagonal of about one: nothing else is done for its condition.
        steps: most steps.
        tolerance: ends when a step lowers the error of these rows by less than this share.

    Returns:
        B, float32 [out, in].
    """
    result = start.masked_fill(removed, 0)
    for first in range(0, len(target), _ROWS):
        rows = slice(first, first + _ROWS)
        _descend(target[rows], result[rows], removed[rows], gram, steps, tolerance)
    return result


def _descend(target: Tensor, result: Tensor, removed: Tensor, gram: Tensor, steps: int, tolerance: float) -> None:
    """Conjugate gradients in every row, in place."""
    difference = target - result
    residual = product_nt(difference, gram)
    error = float((residual * difference).sum(dtype=torch.float64))
    del difference
    residual.masked_fill_(removed, 0)
    direction = residual.clone()
    squared = residual.square().sum(dim=1, keepdim=True)
    settled = _SETTLED * squared  # below it, float32 would divide rounding by rounding
    for _ in range(steps):
        curved = product_nt(direction, gram).masked_fill_(removed, 0)
        curvature = (curved * direction).sum(dim=1, keepdim=True)
        length = torch.where((squared > settled) & (curvature > 0), squared / curvature, 0)
        result.addcmul_(direction, length)
        residual.addcmul_(curved, length, value=-1)
        lowered = float((length * squared).sum(dtype=torch.float64))
        error -= lowered
        if lowered <= tolerance * max(error, 0.0):
            return
        previous, squared = squared, residual.square().sum(dim=1, keepdim=True)
        direction.mul_(torch.where(previous > 0, squared / previous, 0)).add_(residual)


def column_losses(difference: Tensor, gram: Tensor) -> Tensor:
    """What each column adds to ½ tr(D G Dᵀ): float32 [in], of D [out, in] and G [in, in]."""
    return 0.5 * (product_nt(difference, gram) * difference).sum(dim=0)


def output_error(difference: Tensor, hessian: Tensor) -> float:
    """Mean over tokens of the squared change of the output, ½ tr(D H Dᵀ), of D [out, in] and H = (2/N) Σ x xᵀ."""
    return 0.5 * float((product_nt(difference, hessian) * difference).sum(dtype=torch.float64))

"""The factor of a damped Hessian, with which GPTQ and SparseGPT make later columns of a weight up for the errors of earlier ones.

Frantar et al. (arXiv 2210.17323, 2301.00774) keep R, the upper Cholesky factor of the inverse Hessian, and subtract err_i * R[i, j] from every
later column j. Here the factor U of the Hessian itself is kept, H = U Uᵀ with U upper triangular (one Cholesky of the Hessian with rows and
columns reversed): R = U⁻¹, so no inverse larger than a block of columns is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import RunFailed
from core.numerics.products import upper_factor_

_DAMPING_STEPS = 4


class NotPositiveDefinite(RunFailed):
    """No damping helped; the weight can still be treated without its Hessian."""


@dataclass(frozen=True)
class Factor:
    """A damped Hessian [in, in], factored once for all linears that share the input."""

    upper: Tensor
    """float32 [in, in] upper triangular U with U Uᵀ = the damped Hessian in the order of `order`; below the diagonal is anything."""
    order: Tensor | None
    """int64 [in]: column of the weight that comes at each step; None for left to right."""
    dead: Tensor
    """bool [in]: inputs that were always zero."""
    damp: float
    """Damping used, as a share of the mean diagonal."""
    notes: tuple[str, ...] = ()

    def inverse_block(self, begin: int, end: int) -> Tensor:
        """float32 [end - begin, end - begin]: R[begin:end, begin:end], R = U⁻¹ being the upper Cholesky factor of the inverse Hessian, H⁻¹ = Rᵀ R."""
        diagonal = self.upper[begin:end, begin:end]
        inverse: Tensor = torch.linalg.solve_triangular(diagonal, torch.eye(end - begin, device=diagonal.device), upper=True)
        return inverse


def factorize(hessian: Tensor, *, damp: float = 0.01, by_diagonal: bool = False, alternative: str = "a method without calibration") -> Factor:
    """Damp, order and factor a Hessian.

    Args:
        hessian: float32 [in, in], (2/N) Σ x xᵀ of a linear's inputs; left unchanged. Inputs that were always zero get its mean diagonal.
        damp: added to the diagonal, as a share of its mean; raised in steps of ten when the Hessian is not positive definite.
        by_diagonal: order columns by falling diagonal.
        alternative: what the error suggests when no damping helps.

    Raises:
        RunFailed: the Hessian holds NaN or infinity, or no damping made it positive definite (NotPositiveDefinite).
    """
    diagonal, dead, mean = live_diagonal(hessian)
    order = torch.argsort(diagonal, descending=True, stable=True) if by_diagonal else None
    notes: list[str] = []
    for step in range(_DAMPING_STEPS):
        used = damp * 10**step
        upper = _upper_factor(hessian, diagonal + used * mean, order)
        if upper is not None:
            if step:
                notes.append(f"the Hessian was not positive definite: damping was raised from {damp:g} to {used:g} of its mean diagonal")
            return Factor(upper, order, dead, used, tuple(notes))
    raise NotPositiveDefinite(f"the Hessian is not positive definite even with damping {used:g}: calibrate on more tokens, or use {alternative}")


def live_diagonal(hessian: Tensor) -> tuple[Tensor, Tensor, float]:
    """The diagonal [in] with the mean where an input was always zero, bool [in] where that is, and the mean of the others (1 when there are none).

    Raises:
        RunFailed: the diagonal holds NaN or infinity.
    """
    diagonal = hessian.diagonal().clone()
    if not torch.isfinite(diagonal).all():
        raise RunFailed("the calibration inputs contain NaN or Inf: evaluate the model, or calibrate in float32")
    dead = diagonal <= 0
    mean = float(diagonal[~dead].mean()) if bool((~dead).any()) else 1.0
    diagonal[dead] = mean
    return diagonal, dead, mean


def _upper_factor(hessian: Tensor, diagonal: Tensor, order: Tensor | None) -> Tensor | None:
    """U, upper triangular, with U Uᵀ = the Hessian with this diagonal, rows and columns in `order`; None when not positive definite."""
    matrix = hessian.clone()
    matrix.diagonal().copy_(diagonal)
    if order is not None:
        matrix = matrix.index_select(0, order).index_select(1, order)
    return matrix if upper_factor_(matrix) else None

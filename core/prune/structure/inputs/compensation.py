"""Least squares on second moments: what removing inputs of a linear costs, and how the inputs that stay make up for it.

With H = (2/N) Σ x xᵀ damped by λI, the weight on the kept inputs K that comes closest to the outputs of W is

    W'_K = W_K + W_R H_RK (H_KK)⁻¹,

the minimum of ‖X (W - W')‖² + λ‖W - W'‖², and the error is tr(W_R ([H⁻¹]_RR)⁻¹ W_Rᵀ): for a single input the optimal brain surgeon's
‖W_j‖² / [H⁻¹]_jj (Hassibi & Stork 1992; blocks of columns: Kurtic et al., arXiv 2302.04089).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.calibration.cholesky import NotPositiveDefinite
from core.errors import RunFailed

_DAMPING_STEPS = 4


def damped(hessian: Tensor, damp: float) -> Tensor:
    """float32 [in, in]: a copy with `damp` of its mean diagonal on the diagonal; inputs that were always zero get the mean itself.

    Raises:
        RunFailed: the Hessian holds NaN or infinity.
    """
    matrix = hessian.clone()
    diagonal = matrix.diagonal()
    if not bool(torch.isfinite(diagonal).all()):
        raise RunFailed("the calibration inputs contain NaN or Inf: evaluate the model, or calibrate in float32")
    alive = diagonal > 0
    mean = float(diagonal[alive].mean()) if bool(alive.any()) else 1.0
    diagonal.add_(torch.where(alive, damp * mean, mean))
    return matrix


def inverse_of(hessian: Tensor, damp: float) -> Tensor:
    """float32 [in, in]: the inverse of the damped Hessian; damping is raised in steps of ten while it is not positive definite.

    Raises:
        NotPositiveDefinite: no damping helped.
    """
    return _raised(damp, lambda used: _inverse(damped(hessian, used)))


def refit(weight: Tensor, hessian: Tensor, kept: Tensor, removed: Tensor, damp: float) -> Tensor:
    """float32 [out, kept]: the weight on the kept inputs that makes up best for those that are removed.

    Args:
        weight: float32 [out, in].
        hessian: float32 [in, in] of the inputs, undamped.
        kept: int64 [kept].
        removed: int64 [in - kept].
        damp: as a share of the mean diagonal; raised in steps of ten while the Hessian is not positive definite.

    Raises:
        NotPositiveDefinite: no damping helped.
    """
    if not len(removed):
        return weight.index_select(1, kept)

    def solved(used: float) -> Tensor | None:
        matrix = damped(hessian, used)
        factor, failed = torch.linalg.cholesky_ex(matrix.index_select(0, kept).index_select(1, kept))
        if int(failed):
            return None
        moved = matrix.index_select(0, kept).index_select(1, removed) @ weight.index_select(1, removed).t()
        return weight.index_select(1, kept) + torch.cholesky_solve(moved, factor).t()

    return _raised(damp, solved)


def unit_errors(weight: Tensor, inverse: Tensor, size: int) -> Tensor:
    """float32 [in / size]: tr(W_u ([H⁻¹]_uu)⁻¹ W_uᵀ), the squared error of the outputs when one run of `size` inputs is removed and made up for.

    Args:
        weight: float32 [out, in].
        inverse: float32 [in, in], H⁻¹.
        size: inputs of a unit.
    """
    if size == 1:
        single: Tensor = weight.square().sum(dim=0) / inverse.diagonal()
        return single
    units = weight.shape[1] // size
    corners = torch.stack([inverse[begin : begin + size, begin : begin + size] for begin in range(0, units * size, size)])
    parts = weight.reshape(len(weight), units, size).permute(1, 2, 0)
    errors: Tensor = (torch.linalg.solve(corners, parts) * parts).sum(dim=(1, 2))
    return errors


def eliminate_(weight: Tensor, inverse: Tensor, columns: Tensor) -> None:
    """Remove inputs in place: the weight becomes the least-squares one without them, H⁻¹ that of the Hessian of the others; their rows are zero.

    Args:
        weight: float32 [out, in].
        inverse: float32 [in, in], H⁻¹, zero in rows and columns that were removed before.
        columns: int64 [n], inputs to remove.
    """
    rows = inverse.index_select(0, columns)
    ratio = torch.linalg.solve(rows.index_select(1, columns), rows)
    weight.sub_(weight.index_select(1, columns) @ ratio)
    inverse.sub_(rows.t() @ ratio)
    weight[:, columns] = 0
    inverse[columns] = 0
    inverse[:, columns] = 0


def least_costly(
    weight: Tensor, inverse: Tensor, size: int, remove: int, at_once: int, choose: Callable[[Tensor, int], Tensor] | None = None
) -> Tensor:
    """int64 [remove]: units in the order in which they are removed, each the cheapest after those before it were removed and made up for.

    Args:
        weight: float32 [out, in]; left unchanged.
        inverse: float32 [in, in], H⁻¹; overwritten.
        size: inputs of a unit.
        remove: units to remove.
        at_once: how many are removed before the others are scored again; 1 is the greedy choice itself.
        choose: from scores float32 [units], infinite where removed, and a number, to that many units; default: the lowest.
    """
    weight = weight.clone()
    gone = torch.zeros(weight.shape[1] // size, dtype=torch.bool, device=weight.device)
    order: list[Tensor] = []
    while (left := remove - sum(len(part) for part in order)) > 0:
        if size > 1 and bool(gone.any()):
            scores = _errors_of_rest(weight, inverse, size, gone)
        else:
            scores = unit_errors(weight, inverse, size).masked_fill(gone, float("inf"))
        count = min(at_once, left)
        chosen = lowest(scores, count) if choose is None else choose(scores, count)
        gone[chosen] = True
        order.append(chosen)
        if left > len(chosen):
            eliminate_(weight, inverse, (chosen[:, None] * size + torch.arange(size, device=chosen.device)).reshape(-1))
    return torch.cat(order)


def lowest(scores: Tensor, count: int) -> Tensor:
    """int64 [count]: the lowest scores; of equal ones the lower index."""
    return torch.argsort(scores, stable=True)[:count]


def _errors_of_rest(weight: Tensor, inverse: Tensor, size: int, gone: Tensor) -> Tensor:
    units = (~gone).nonzero()[:, 0]
    columns = (units[:, None] * size + torch.arange(size, device=units.device)).reshape(-1)
    scores = torch.full_like(gone, float("inf"), dtype=torch.float32)
    scores[units] = unit_errors(weight.index_select(1, columns), inverse.index_select(0, columns).index_select(1, columns), size)
    return scores


def _inverse(matrix: Tensor) -> Tensor | None:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return None if int(failed) else torch.cholesky_inverse(factor)


def _raised(damp: float, solve: Callable[[float], Tensor | None]) -> Tensor:
    for step in range(_DAMPING_STEPS):
        found = solve(damp * 10**step)
        if found is not None and bool(torch.isfinite(found).all()):
            return found
    used = damp * 10 ** (_DAMPING_STEPS - 1)
    raise NotPositiveDefinite(f"the Hessian is not positive definite even with damping {used:g}: calibrate on more tokens")

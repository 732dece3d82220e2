"""SparseGPT: remove weights column by column and let the columns not yet reached make up for each error.

Source: Frantar and Alistarh, arXiv 2301.00774. With R the upper Cholesky factor of the inverse Hessian, what a weight costs is W² / diag(R)², W
being corrected for all that was removed before; the cheapest of a block of columns go, over all rows at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.calibration.cholesky import Factor, factorize
from core.calibration.columns import replace_columns
from core.calibration.statistics import InputStatistics
from core.prune.weights.config import MaskConfig
from core.prune.weights.order import lowest, lowest_of_group
from core.prune.weights.pattern import Pattern
from core.prune.weights.pruned import Pruned, finite_weight


def prune(weight: Tensor, statistics: InputStatistics | None, config: MaskConfig) -> Pruned:
    """Prune a weight [out, in] by the Hessian of its inputs, whose factor is kept for the linears that share it.

    Raises:
        RunFailed: the weight or the inputs hold NaN or infinity, no input was ever seen, or no damping helped (NotPositiveDefinite).
        ValueError: no statistics were gathered.
    """
    if statistics is None:
        raise ValueError("SparseGPT needs statistics of the inputs")
    factor = statistics.once(
        ("sparsegpt", config.damp),
        lambda: factorize(statistics.hessian, damp=config.damp, alternative="magnitude pruning, which needs no calibration"),
    )
    return solve(weight, factor, config.pattern, block=config.block)


def solve(weight: Tensor, factor: Factor, pattern: Pattern, *, block: int = 128) -> Pruned:
    """Prune one weight by a factored Hessian.

    Args:
        weight: [out, in]. Weights of inputs that were always zero cost nothing: they are removed first, and stay as they are where not removed.
        factor: of the Hessian, from left to right.
        pattern: scope `matrix` chooses among all rows of a block, as the paper does; `row` the same number in every row. Of n:m the choice falls
            at each group's first column.
        block: columns that are chosen from at once, rounded down to whole groups.

    Returns:
        With `losses` that sum to ½ tr(ΔW H_damped ΔWᵀ), ΔW being zero for inputs that were always zero.

    Raises:
        RunFailed: the weight holds NaN or infinity.
        RequestError: groups do not divide a row.
    """
    weights = finite_weight(weight)
    pattern.require_columns(weight.shape[1], "the weight")
    dead = factor.dead if bool(factor.dead.any()) else None
    removal = _Removal(weights, factor, pattern)
    unit = pattern.keep[1] if pattern.keep is not None else 0
    step = max(block // unit, 1) * unit if unit else block
    losses = replace_columns(weights if dead is None else weights.masked_fill(dead, 0), factor, removal, block=step, unit=unit)
    result, removed = removal.result, removal.removed.t().contiguous()
    if dead is not None:
        result = torch.where(dead & ~removed, weights, result)
    return Pruned(result, removed, losses, factor.notes)


class _Removal:
    """Zeroes what is cheapest (`ColumnRule`) and gathers the weight that is left."""

    def __init__(self, weights: Tensor, factor: Factor, pattern: Pattern) -> None:
        rows, columns = weights.shape
        self.pattern = pattern
        self.zero = weights.new_zeros(())
        self.pivots = factor.upper.diagonal().unsqueeze(1)
        self.result = torch.empty_like(weights, memory_format=torch.contiguous_format)
        self.removed = torch.empty(columns, rows, dtype=torch.bool, device=weights.device)

    def begin_block(self, first: int, columns: Tensor) -> None:
        """Choose from a block; counts of all blocks sum to that of the whole."""
        if self.pattern.keep is not None:
            return
        last = first + len(columns)
        costs = self._costs(first, columns)
        each = columns.shape[1] if self.pattern.scope == "matrix" else 1
        count = self.pattern.count(each * last) - self.pattern.count(each * first)
        if self.pattern.scope == "matrix":
            self.removed[first:last] = lowest(costs.view(1, -1), count).view_as(costs)
        else:
            self.removed[first:last] = lowest(costs.t(), count).t()

    def begin_unit(self, first: int, columns: Tensor) -> None:
        """Choose from a group of n:m."""
        if self.pattern.keep is not None:
            kept, group = self.pattern.keep
            self.removed[first : first + group] = lowest_of_group(self._costs(first, columns), group - kept)

    def replace(self, index: int, column: Tensor, out: Tensor) -> None:
        """Zero what was chosen of a column."""
        torch.where(self.removed[index], self.zero, column, out=out)

    def end_block(self, first: int, replaced: Tensor) -> None:
        """Keep what is left."""
        self.result[:, first : first + len(replaced)] = replaced.t()

    def _costs(self, first: int, columns: Tensor) -> Tensor:
        """W² / diag(R)² of columns [n, out]: diag(R) is one over the diagonal of U."""
        return (columns * self.pivots[first : first + len(columns)]).square_()

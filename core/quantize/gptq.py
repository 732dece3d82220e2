"""GPTQ: round a weight column by column and let the columns not yet rounded make up for each error (`core.calibration.columns`).

Source: Frantar et al., arXiv 2210.17323. Zeros of a pruned weight can be kept: each is a column's value that may not be rounded to anything
else, whose error later columns make up for, as in SparseGPT's joint form (arXiv 2301.00774, section 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.cholesky import Factor, factorize
from core.calibration.columns import replace_columns
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.numerics.zeros import zeros_to_keep
from core.quantize.linear.solver import LinearSolver

_BLOCK = 128


@dataclass(frozen=True)
class GptqConfig:
    """The settings of `quantize`."""

    grid: Grid
    damp: float = 0.01
    act_order: bool = False
    static_groups: bool = True


def quantize(weight: Tensor, statistics: InputStatistics, config: GptqConfig) -> QuantizedTensor:
    """Quantize one weight by the statistics of its input, whose factor is kept for the linears that share it; errors as `solve` and `factorize`.

    Where the weight was pruned, its zeros are kept.
    """
    factor = statistics.once(
        ("gptq", config.damp, config.act_order),
        lambda: factorize(statistics.hessian, damp=config.damp, by_diagonal=config.act_order, alternative="rtn"),
    )
    return solve(weight, factor, config.grid, static_groups=config.act_order and config.static_groups, keep_zeros=zeros_to_keep(weight))


def solve(weight: Tensor, factor: Factor, grid: Grid, *, static_groups: bool = False, keep_zeros: Tensor | None = None) -> QuantizedTensor:
    """Quantize one weight by a factored Hessian.

    Args:
        weight: [out, in]; columns whose input was always zero become zero.
        factor: of the Hessian, which says in what order columns are rounded.
        grid: what the weight is rounded to.
        static_groups: groups are runs of neighbouring columns with scales from the original weight; otherwise groups follow the order of rounding.
        keep_zeros: bool [out, in]: weights that become exactly zero, whatever corrections reach them; None: none.

    Returns:
        The codes with `losses` per column, which sum to ½ tr(ΔW H_damped ΔWᵀ), and notes on raised damping.

    Raises:
        RunFailed: the weight holds NaN or infinity, or groups do not divide a row.
    """
    columns = weight.shape[1]
    low, high = torch.aminmax(weight)
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise RunFailed("the weight contains NaN or Inf: the checkpoint is damaged, fetch it again")
    if columns % grid.span(columns):
        raise RunFailed(f"groups of {grid.group_size} do not divide a row of {columns}: choose a group size that does")
    weights = weight.to(torch.float32)
    if bool(factor.dead.any()):
        weights = weights.masked_fill(factor.dead, 0)
    fixed = _Scales.fixed(weights, grid) if static_groups or grid.granularity != "group" else None
    if factor.order is not None:
        weights = weights[:, factor.order]
        keep_zeros = None if keep_zeros is None else keep_zeros[:, factor.order]
    rounding = _Rounding(weights, factor, grid, fixed, keep_zeros)
    span = rounding.span
    if rounding.dynamic:
        losses = replace_columns(weights, factor, rounding, block=max(_BLOCK // span, 1) * span, unit=span)
    else:
        losses = replace_columns(weights, factor, rounding, block=_BLOCK)
    return rounding.result(losses)


@dataclass
class _Scales:
    """Scales and zero points, transposed: [groups, out] float32."""

    scales: Tensor
    zeros: Tensor | None

    @classmethod
    def fixed(cls, weights: Tensor, grid: Grid) -> _Scales:
        """From the original weight [out, in], before any rounding."""
        rows, columns = weights.shape
        scales, zeros = grid.fit(weights.view(rows, -1, grid.span(columns)), dim=2)
        return cls(scales.squeeze(2).t().contiguous(), None if zeros is None else zeros.squeeze(2).t().contiguous())

    @classmethod
    def empty(cls, groups: int, like: Tensor, symmetric: bool) -> _Scales:
        """To be filled while rounding."""
        scales = like.new_empty(groups, like.shape[0])
        return cls(scales, None if symmetric else torch.empty_like(scales))


class _Rounding:
    """Rounds columns to the grid (`ColumnRule`) and gathers codes and scales."""

    def __init__(self, weights: Tensor, factor: Factor, grid: Grid, fixed: _Scales | None, keep_zeros: Tensor | None) -> None:
        self.factor, self.grid = factor, grid
        rows, columns = weights.shape
        self.span = grid.span(columns)
        self.dynamic = fixed is None
        self.table = fixed or _Scales.empty(columns // self.span, weights, grid.symmetric)
        original = torch.arange(columns, device=weights.device)
        position = factor.order if factor.order is not None and not self.dynamic else original
        self.group_of: list[int] = (position // self.span).tolist()
        self.codes = torch.empty(columns, rows, dtype=torch.int8, device=weights.device)
        self.removed = None if keep_zeros is None else keep_zeros.t().contiguous()

    def begin_block(self, first: int, columns: Tensor) -> None:
        """Nothing is decided for a whole block."""

    def begin_unit(self, first: int, columns: Tensor) -> None:
        """Find the scales of a group from its corrected columns."""
        if self.removed is not None:
            columns = columns.masked_fill(self.removed[first : first + len(columns)], 0)
        scales, zeros = self.grid.fit(columns, dim=0)
        group = first // self.span
        self.table.scales[group] = scales[0]
        if zeros is not None and self.table.zeros is not None:
            self.table.zeros[group] = zeros[0]

    def replace(self, index: int, column: Tensor, out: Tensor) -> None:
        """Round a column."""
        group = self.group_of[index]
        scales = self.table.scales[group]
        zeros = None if self.table.zeros is None else self.table.zeros[group]
        codes = self.grid.encode(column, scales, zeros)
        if self.removed is not None:
            codes = torch.where(self.removed[index], 0.0 if zeros is None else zeros, codes)
        self.codes[index] = codes
        torch.mul(codes if zeros is None else codes - zeros, scales, out=out)

    def end_block(self, first: int, replaced: Tensor) -> None:
        """The codes were kept one by one."""

    def result(self, losses: Tensor) -> QuantizedTensor:
        """Back to [out, in] and to the original order of the columns."""
        codes, order = self.codes, self.factor.order
        index = torch.tensor(self.group_of, dtype=torch.int32, device=codes.device)
        if order is not None:
            back = torch.argsort(order)
            codes, losses, index = codes[back], losses[back], index[back]
        scales, zeros = self.table.scales.t(), self.table.zeros
        if self.grid.granularity == "tensor":
            scales, zeros = scales[:1], zeros if zeros is None else zeros[:, :1]
        return QuantizedTensor(
            codes=codes.t().contiguous(),
            scales=scales.to(self.grid.scale_dtype).contiguous(),
            zeros=None if zeros is None else zeros.t().to(torch.int8).contiguous(),
            group_index=index,
            bits=self.grid.bits,
            granularity=self.grid.granularity,
            losses=losses,
            notes=self.factor.notes,
        )


SOLVER = LinearSolver(quantize, lambda spec, grid, _name: GptqConfig(grid, spec.damp, spec.act_order, spec.static_groups))

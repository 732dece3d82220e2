"""GPTQ: round a weight column by column and let the columns not yet rounded make up for each error.

Source: Frantar et al., arXiv 2210.17323. With U the factor of the Hessian (`core.calibration.cholesky`) and D = W - Q the paper's corrections
are W + D U[:, block] U[block, block]⁻¹, so that apart from the columns inside a leaf all work is matrix products. A block is held transposed,
so that a column is contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.cholesky import Factor, factorize
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.numerics.grid import Grid
from core.numerics.products import product_nt
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.solver import LinearSolver

_BLOCK = 128
_LEAF = 16
_PART = 1024


@dataclass(frozen=True)
class GptqConfig:
    """The settings of `quantize`."""

    grid: Grid
    damp: float = 0.01
    act_order: bool = False
    static_groups: bool = True


def quantize(weight: Tensor, statistics: InputStatistics, config: GptqConfig) -> QuantizedTensor:
    """Quantize one weight by the statistics of its input, whose factor is kept for the linears that share it; errors as `solve` and `factorize`."""
    factor = statistics.once(
        ("gptq", config.damp, config.act_order),
        lambda: factorize(statistics.hessian, damp=config.damp, by_diagonal=config.act_order, alternative="rtn"),
    )
    return solve(weight, factor, config.grid, static_groups=config.act_order and config.static_groups)


def solve(weight: Tensor, factor: Factor, grid: Grid, *, static_groups: bool = False) -> QuantizedTensor:
    """Quantize one weight by a factored Hessian.

    Args:
        weight: [out, in]; columns whose input was always zero become zero.
        factor: of the Hessian, which says in what order columns are rounded.
        grid: what the weight is rounded to.
        static_groups: groups are runs of neighbouring columns with scales from the original weight; otherwise groups follow the order of rounding.

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
    return _Work(weights, factor, grid, fixed).run()


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


class _Work:
    """State of one solve. `parts` are the weight [out, in] cut between columns: W - Q where columns were rounded, else still W."""

    def __init__(self, weights: Tensor, factor: Factor, grid: Grid, fixed: _Scales | None) -> None:
        self.factor, self.grid = factor, grid
        rows, columns = weights.shape
        self.span = grid.span(columns)
        self.dynamic = fixed is None
        self.step = max(_BLOCK // self.span, 1) * self.span if self.dynamic else _BLOCK
        self.width = max(_PART // self.step, 1) * self.step
        # Parts of moderate width are contiguous in memory: products with long rows far apart are twice as slow.
        self.parts = [weights[:, first : first + self.width].clone(memory_format=torch.contiguous_format) for first in range(0, columns, self.width)]
        self.table = fixed or _Scales.empty(columns // self.span, weights, grid.symmetric)
        original = torch.arange(columns, device=weights.device)
        position = factor.order if factor.order is not None and not self.dynamic else original
        self.group_of: list[int] = (position // self.span).tolist()
        self.codes = torch.empty(columns, rows, dtype=torch.int8, device=weights.device)
        self.losses = torch.empty(columns, device=weights.device)

    def run(self) -> QuantizedTensor:
        """Round all columns, a block at a time."""
        for begin in range(0, len(self.losses), self.step):
            self._block(begin, min(begin + self.step, len(self.losses)))
        return self._result()

    def _block(self, begin: int, end: int) -> None:
        """Round columns begin..end: bring in all earlier errors by products, then recurse."""
        self.inverse = self.factor.inverse_block(begin, end)
        self.pivots: list[float] = self.factor.upper.diagonal()[begin:end].tolist()
        self.begin = begin
        part, offset = divmod(begin, self.width)
        columns = self.parts[part][:, offset : offset + end - begin]
        self.current = self._corrected(columns, begin, end).t().contiguous()
        self.rounded = torch.empty_like(self.current)
        self.errors = torch.empty_like(self.current)
        self._round(0, end - begin)
        columns -= self.rounded.t()
        self.losses[begin:end] = 0.5 * self.errors.square().sum(dim=1)

    def _corrected(self, columns: Tensor, begin: int, end: int) -> Tensor:
        """W of a block with the errors of all columns before it made up for: W + D U[:begin, block] U[block, block]⁻¹."""
        if not begin:
            return columns
        summed = torch.zeros_like(columns)
        for index, first in enumerate(range(0, begin, self.width)):
            last = min(first + self.width, begin)
            summed += product_nt(self.parts[index][:, : last - first], self.factor.upper[first:last, begin:end].t())
        return columns + product_nt(summed, self.inverse.t())

    def _round(self, first: int, last: int) -> None:
        """Halve until a leaf; after the left half is rounded, its errors correct the right half."""
        if self.dynamic and (self.begin + first) % self.span == 0 and last - first == self.span:
            self._fit(first, last)
        if last - first <= _LEAF and not (self.dynamic and last - first > self.span):
            self._leaf(first, last)
            return
        middle = self._middle(first, last)
        self._round(first, middle)
        self.current[middle:last].addmm_(self.inverse[first:middle, middle:last].t(), self.errors[first:middle], alpha=-1)
        self._round(middle, last)

    def _middle(self, first: int, last: int) -> int:
        """A split that never cuts a group whose scales are still to be found."""
        width = last - first
        if self.dynamic and width > self.span:
            return first + max(width // self.span // 2, 1) * self.span
        return first + max(width // 2 // _LEAF, 1) * _LEAF if width > _LEAF else first + width // 2

    def _fit(self, first: int, last: int) -> None:
        group = (self.begin + first) // self.span
        scales, zeros = self.grid.fit(self.current[first:last], dim=0)
        self.table.scales[group] = scales[0]
        if zeros is not None and self.table.zeros is not None:
            self.table.zeros[group] = zeros[0]

    def _leaf(self, first: int, last: int) -> None:
        """Column by column: round, then correct the rest of the leaf by a rank-one update."""
        grid, zeros = self.grid, None
        for index in range(first, last):
            group = self.group_of[self.begin + index]
            scales = self.table.scales[group]
            if self.table.zeros is not None:
                zeros = self.table.zeros[group]
            column, rounded, error = self.current[index], self.rounded[index], self.errors[index]
            codes = grid.encode(column, scales, zeros)
            self.codes[self.begin + index] = codes
            torch.mul(codes if zeros is None else codes - zeros, scales, out=rounded)
            torch.sub(column, rounded, out=error)
            error *= self.pivots[index]
            if index + 1 < last:
                self.current[index + 1 : last].addr_(self.inverse[index, index + 1 : last], error, alpha=-1)

    def _result(self) -> QuantizedTensor:
        """Back to [out, in] and to the original order of the columns."""
        codes, losses, order = self.codes, self.losses, self.factor.order
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

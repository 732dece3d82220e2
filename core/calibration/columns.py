"""Replace a weight column by column and let the columns not yet replaced make up for each error: what GPTQ and SparseGPT have in common.

Sources: Frantar et al., arXiv 2210.17323 and 2301.00774. With U the factor of the Hessian (`core.calibration.cholesky`) and D = W - Q the papers'
corrections are W + D U[:, block] U[block, block]⁻¹, so that apart from the columns inside a leaf all work is matrix products. A block is held
transposed, so that a column is contiguous.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from core.calibration.cholesky import Factor
from core.numerics.products import product_nt

_LEAF = 16
_PART = 1024


class ColumnRule(Protocol):
    """What columns are replaced by. Columns are counted in the order of replacement."""

    def begin_block(self, first: int, columns: Tensor) -> None:
        """See the columns [block, out] from `first` on, corrected for all before them; they must not be kept, nor changed."""
        ...

    def begin_unit(self, first: int, columns: Tensor) -> None:
        """See a unit's columns [unit, out] from `first` on, corrected for all before them."""
        ...

    def replace(self, index: int, column: Tensor, out: Tensor) -> None:
        """Write into `out` [out] what replaces the corrected column [out]."""
        ...

    def end_block(self, first: int, replaced: Tensor) -> None:
        """See what replaced the columns [block, out] from `first` on; not to be kept."""
        ...


def replace_columns(weights: Tensor, factor: Factor, rule: ColumnRule, *, block: int, unit: int = 0) -> Tensor:
    """Replace all columns by a rule.

    Args:
        weights: float32 [out, in] in the factor's order; left unchanged.
        factor: of the Hessian.
        rule: decides on the values and keeps them.
        block: columns that are corrected at once; a multiple of `unit`.
        unit: columns that `begin_unit` is to see; it divides the number of columns. 0: it is not called.

    Returns:
        float32 [in]: what each column adds to ½ tr(ΔW H_damped ΔWᵀ).
    """
    return _Work(weights, factor, rule, block, unit).run()


class _Work:
    """`parts` are the weight [out, in] cut between columns: W - Q where columns were replaced, else still W."""

    def __init__(self, weights: Tensor, factor: Factor, rule: ColumnRule, block: int, unit: int) -> None:
        self.factor, self.rule, self.step, self.unit = factor, rule, block, unit
        self.leaf = max(_LEAF // unit, 1) * unit if 0 < unit <= _LEAF else _LEAF
        columns = weights.shape[1]
        self.width = max(_PART // self.step, 1) * self.step
        # Parts of moderate width are contiguous in memory: products with long rows far apart are twice as slow.
        self.parts = [weights[:, first : first + self.width].clone(memory_format=torch.contiguous_format) for first in range(0, columns, self.width)]
        self.losses = torch.empty(columns, device=weights.device)

    def run(self) -> Tensor:
        """Replace all columns, a block at a time."""
        for begin in range(0, len(self.losses), self.step):
            self._block(begin, min(begin + self.step, len(self.losses)))
        return self.losses

    def _block(self, begin: int, end: int) -> None:
        """Replace columns begin..end: bring in all earlier errors by products, then recurse."""
        self.inverse = self.factor.inverse_block(begin, end)
        self.pivots: list[float] = self.factor.upper.diagonal()[begin:end].tolist()
        self.begin = begin
        part, offset = divmod(begin, self.width)
        columns = self.parts[part][:, offset : offset + end - begin]
        self.current = self._corrected(columns, begin, end).t().contiguous()
        self.replaced = torch.empty_like(self.current)
        self.errors = torch.empty_like(self.current)
        self.rule.begin_block(begin, self.current)
        self._replace(0, end - begin)
        columns -= self.replaced.t()
        self.rule.end_block(begin, self.replaced)
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

    def _replace(self, first: int, last: int) -> None:
        """Halve until a leaf; after the left half is replaced, its errors correct the right half."""
        whole_unit = self.unit > _LEAF and last - first == self.unit and (self.begin + first) % self.unit == 0
        if whole_unit:
            self.rule.begin_unit(self.begin + first, self.current[first:last])
        if last - first <= self.leaf:
            self._leaf(first, last)
            return
        middle = first + self._left_half(last - first)
        self._replace(first, middle)
        self.current[middle:last].addmm_(self.inverse[first:middle, middle:last].t(), self.errors[first:middle], alpha=-1)
        self._replace(middle, last)

    def _left_half(self, width: int) -> int:
        """Columns left of a cut that divides neither a unit nor a leaf."""
        piece = self.unit if width > self.unit > _LEAF else self.leaf
        return max(width // piece // 2, 1) * piece

    def _leaf(self, first: int, last: int) -> None:
        """Column by column: replace, then correct the rest of the leaf by a rank-one update."""
        for index in range(first, last):
            if 0 < self.unit <= _LEAF and (self.begin + index) % self.unit == 0:
                self.rule.begin_unit(self.begin + index, self.current[index : index + self.unit])
            column, replaced, error = self.current[index], self.replaced[index], self.errors[index]
            self.rule.replace(self.begin + index, column, replaced)
            torch.sub(column, replaced, out=error)
            error *= self.pivots[index]
            if index + 1 < last:
                self.current[index + 1 : last].addr_(self.inverse[index, index + 1 : last], error, alpha=-1)

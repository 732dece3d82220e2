"""What carries the made-up method out, the second of the two files."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear import rtn
from core.quantize.linear.solver import LinearSolver


def quantize(weight: Tensor, statistics: object, config: Grid) -> QuantizedTensor:
    nearest = rtn.quantize(weight, statistics, config)
    return replace(nearest, codes=nearest.codes // 2 * 2)


SOLVER = LinearSolver(quantize, lambda _spec, grid, _name: grid)

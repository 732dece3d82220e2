"""Round to nearest: every weight to the closest value of its grid, no data needed."""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import RunFailed
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.solver import LinearSolver


def quantize(weight: Tensor, statistics: object, config: Grid) -> QuantizedTensor:
    """Quantize one weight.

    Args:
        weight: [out, in].
        statistics: not looked at.
        config: the grid.

    Raises:
        RunFailed: the weight holds NaN or infinity, or groups do not divide a row.
    """
    del statistics
    check(weight, config)
    grouped = weight.to(torch.float32).reshape(len(weight), -1, config.span(weight.shape[1]))
    return encoded(grouped, *config.fit(grouped, dim=-1), config)


def check(weight: Tensor, grid: Grid) -> None:
    """Nothing, when a weight [out, in] can be rounded to a grid. Raises RunFailed: it holds NaN or infinity, or groups do not divide a row."""
    if weight.shape[1] % grid.span(weight.shape[1]):
        raise RunFailed(f"groups of {grid.group_size} do not divide a row of {weight.shape[1]}: choose a group size that does")
    if not torch.isfinite(weight).all():
        raise RunFailed("the weight contains NaN or Inf: the checkpoint is damaged, fetch it again")


def encoded(grouped: Tensor, scales: Tensor, zeros: Tensor | None, grid: Grid) -> QuantizedTensor:
    """A weight rounded to nearest with scales and zero points that are given.

    Args:
        grouped: float32 [out, groups, group size].
        scales: float32 [out, groups, 1], as from `Grid.fit`.
        zeros: of the same shape; None when symmetric.
        grid: the grid.
    """
    rows, groups, span = grouped.shape
    codes = grid.encode(grouped, scales, zeros).to(torch.int8).view(rows, groups * span)
    scales, zeros = scales.squeeze(-1), None if zeros is None else zeros.squeeze(-1).to(torch.int8)
    if grid.granularity == "tensor":
        scales, zeros = scales[:1, :1], None if zeros is None else zeros[:1, :1]
    return QuantizedTensor(
        codes=codes,
        scales=scales.to(grid.scale_dtype).contiguous(),
        zeros=zeros,
        group_index=torch.arange(groups * span, dtype=torch.int32, device=grouped.device) // span,
        bits=grid.bits,
        granularity=grid.granularity,
    )


SOLVER = LinearSolver(quantize, lambda _spec, grid, _name: grid)

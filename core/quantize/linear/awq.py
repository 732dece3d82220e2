"""AWQ: enlarge the weight columns that meet large activations, so that rounding hurts them less, then clip and round to nearest.

Source: Lin et al., arXiv 2306.00978. A column's scale is the mean magnitude of its input to the power of a ratio; the ratio is the one, of
20 and none at all, whose rounded weights change the outputs of the module around them least. The inverse goes into the norm or the linear
before. Then each group's range is narrowed as far as that lowers the error of the products with its own inputs. Queries and keys are not
clipped: their errors meet in a product that clipping cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.calibration.blocks import CalibratedBlock
from core.calibration.norm_groups import makes_scores, recipe_of
from core.calibration.statistics import InputStatistics
from core.models.stream.streaming import StreamedModel
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear import rtn
from core.quantize.linear.grids import grid_of
from core.quantize.linear.scaling import ParentLoss, family_of, fold, load_groups, rounded, stored_dtypes
from core.quantize.linear.solver import LinearSolver
from core.quantize.spec import QuantizeSpec
from core.runs.steps import Steps

_RATIOS = tuple(step / 20 for step in range(1, 21))
_RANGE_TOKENS = 8192
_SAMPLE_TOKENS = 2048
_SHRINKS = tuple(1 - step / 20 for step in range(11))
_WIDEST_EXACT = 512
_PART = 128


@dataclass(frozen=True)
class AwqConfig:
    """The settings of `quantize`."""

    grid: Grid
    clip: bool = True
    """Whether ranges are narrowed."""


@dataclass(frozen=True)
class Choice:
    """Scales that were found for one group."""

    ratio: float
    """0: none are better than no scales."""
    scales: Tensor
    """float32 [in]."""
    loss: float
    unscaled: float
    """Loss without scales."""


def prepare(block: CalibratedBlock, streamed: StreamedModel, spec: QuantizeSpec, steps: Steps) -> list[str]:
    """Search the scales of a block and move them into its weights.

    Returns:
        Names in the block of the parameters other than weights of linears that were changed.

    Raises:
        RequestError: the family is not in the table, or the block is not built as it says.
    """
    family = family_of(streamed)
    recipe = recipe_of(family, "awq")
    stored = stored_dtypes(block, streamed)
    groups = load_groups(block, recipe.groups, recipe, family)
    ranges = block.ranges([group.names.readers[0] for group in groups], _RANGE_TOKENS)
    calls = block.sample({group.names.parent for group in groups}, _SAMPLE_TOKENS)
    changed: list[str] = []
    for group in groups:
        statistics = ranges[group.names.readers[0]]
        if not statistics.tokens or not calls[group.names.parent]:
            continue
        steps.say(f"searching the scales of {', '.join(group.names.readers)} in block {block.index + 1} of {streamed.n_blocks}")
        grid = grid_of(spec, stored[f"{group.names.readers[0]}.weight"])
        choice = search(group.weights, statistics.mean_abs, ParentLoss(group, calls[group.names.parent]), grid, steps.check_cancelled)
        steps.measured("scale_ratio", choice.ratio, block.index, f"{streamed.block_prefix(block.index)}{group.names.source}")
        if choice.ratio:
            changed += fold(group, choice.scales, stored)
    return changed


def search(
    weights: Sequence[Tensor], mean_abs: Tensor, loss: Callable[[Sequence[Tensor]], float], grid: Grid, between: Callable[[], None] = lambda: None
) -> Choice:
    """The ratio with the least loss.

    Args:
        weights: float32 [out, in] of the linears that read one input.
        mean_abs: float32 [in], of the input.
        loss: of weights in the places of these.
        grid: what they will be rounded to.
        between: called between trials; may raise to cancel.
    """
    plain = replace(grid, clipping="absmax")
    unscaled = loss([rounded(weight, plain) for weight in weights])
    best = Choice(0.0, torch.ones_like(mean_abs), unscaled, unscaled)
    for ratio in _RATIOS:
        between()
        scales = scales_of(mean_abs, ratio)
        found = loss([rounded(weight * scales, plain) / scales for weight in weights])
        if found < best.loss:
            best = Choice(ratio, scales, found, unscaled)
    return best


def scales_of(mean_abs: Tensor, ratio: float) -> Tensor:
    """mean_abs ^ ratio, divided by the geometric mean of its extremes; 1 for features that are always zero."""
    seen = mean_abs > 0
    if not bool(seen.any()):
        return torch.ones_like(mean_abs)
    powers = mean_abs.pow(ratio).clamp(min=1e-4)
    middle = (powers[seen].max() * powers[seen].min()).sqrt()
    return torch.where(seen, powers / middle, 1.0)


def quantize(weight: Tensor, statistics: InputStatistics, config: AwqConfig) -> QuantizedTensor:
    """Clip and round one weight whose scales are in place already.

    Args:
        weight: [out, in].
        statistics: of its inputs, with second moments.
        config: the grid, and whether to clip.

    Raises:
        RunFailed: the weight holds NaN or infinity, or groups do not divide a row.
    """
    if not config.clip or not statistics.tokens or not statistics.has_hessian:
        return rtn.quantize(weight, statistics, config.grid)
    rtn.check(weight, config.grid)
    grouped = weight.to(torch.float32).reshape(len(weight), -1, config.grid.span(weight.shape[1]))
    scales, zeros = clipped(grouped, statistics.hessian, config.grid)
    return rtn.encoded(grouped, scales, zeros, config.grid)


def clipped(grouped: Tensor, hessian: Tensor, grid: Grid) -> tuple[Tensor, Tensor | None]:
    """Scales and zero points of the narrowed ranges with the least error d H dᵀ of each group's products with its own inputs.

    Of groups wider than 512 only the products of neighbouring runs of inputs are counted.

    Args:
        grouped: float32 [out, groups, group size].
        hessian: float32 [in, in].
        grid: what the groups are rounded to.

    Returns:
        As `Grid.fit`.
    """
    if grid.granularity == "tensor":
        return grid.fit(grouped, dim=-1)
    low, high = torch.aminmax(grouped, dim=-1, keepdim=True)
    low, high = low.clamp(max=0), high.clamp(min=0)
    moments = _diagonal_blocks(hessian, grouped.shape[2])
    return grid.narrowed(low, high, _SHRINKS, lambda scales, zeros: _product_error(grouped, scales, zeros, moments, grid))


def _diagonal_blocks(hessian: Tensor, span: int) -> Tensor:
    """Square blocks [n, width, width] along the diagonal, of the width of a group or a divisor of it."""
    width = span if span <= _WIDEST_EXACT else next(size for size in range(_PART, 0, -1) if span % size == 0)
    count = len(hessian) // width
    return hessian.contiguous().view(count, width, count, width).diagonal(dim1=0, dim2=2).permute(2, 0, 1).contiguous()


def _product_error(grouped: Tensor, scales: Tensor, zeros: Tensor | None, moments: Tensor, grid: Grid) -> Tensor:
    """Error [out, groups, 1] of rounding with these scales."""
    rows, groups, _ = grouped.shape
    difference = grid.decode(grid.encode(grouped, scales, zeros), scales, zeros) - grouped
    parts = difference.view(rows, len(moments), -1).transpose(0, 1)
    errors = (torch.bmm(parts, moments) * parts).sum(dim=-1)
    return errors.view(groups, -1, rows).sum(dim=1).t().unsqueeze(-1)


SOLVER = LinearSolver(quantize, lambda _spec, grid, name: AwqConfig(grid, clip=not makes_scores(name)), prepare)

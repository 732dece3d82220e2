"""SmoothQuant: move the outliers of activations into the weights, so that both can be rounded to 8 bits.

Source: Xiao et al., arXiv 2211.10438. Feature j of what a norm puts out is divided by s_j = max|x_j|^α / max|w_j|^(1-α), and column j of
all weights that read it is multiplied by it. Only what a norm puts out is smoothed: queries, keys and values, and the first half of the MLP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.blocks import CalibratedBlock
from core.calibration.norm_groups import recipe_of
from core.calibration.statistics import InputStatistics
from core.models.stream.streaming import StreamedModel
from core.numerics.activations import ActivationQuantizer, static_scale
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear import rtn
from core.quantize.linear.grids import grid_of
from core.quantize.linear.rounded_inputs import with_rounded_inputs
from core.quantize.linear.scaling import ParentLoss, RoundInputs, family_of, fold, load_groups, rounded, stored_dtypes
from core.quantize.linear.solver import LinearSolver
from core.quantize.spec import QuantizeSpec
from core.runs.steps import Steps

_ALPHAS = tuple(step / 20 for step in range(4, 20))
_SAMPLE_TOKENS = 2048
_FLOOR = 1e-5


@dataclass(frozen=True)
class SmoothConfig:
    """The settings of `quantize`."""

    grid: Grid
    static: bool = False
    """Inputs are rounded by one scale from calibration; otherwise by one a token, found at run time."""


@dataclass(frozen=True)
class Choice:
    """Scales that were found for one group."""

    alpha: float | None
    """None: no scales are better than any."""
    scales: Tensor
    """float32 [in]."""
    loss: float


def prepare(block: CalibratedBlock, streamed: StreamedModel, spec: QuantizeSpec, steps: Steps) -> list[str]:
    """Smooth what the norms of a block put out, by the spec's α or the best of several.

    Returns:
        Names in the block of the parameters other than weights of linears that were changed.

    Raises:
        RequestError: the family is not in the table, or the block is not built as it says.
    """
    family = family_of(streamed)
    recipe = recipe_of(family, "smoothquant")
    stored = stored_dtypes(block, streamed)
    groups = load_groups(block, recipe.norms, recipe, family)
    ranges = block.ranges([group.names.readers[0] for group in groups])
    calls = block.sample({group.names.parent for group in groups}, _SAMPLE_TOKENS) if spec.alpha is None else {}
    changed: list[str] = []
    for group in groups:
        statistics, weights = ranges[group.names.readers[0]], group.weights
        if not statistics.tokens:
            continue
        steps.say(f"smoothing the inputs of {', '.join(group.names.readers)} in block {block.index + 1} of {streamed.n_blocks}")
        if spec.alpha is not None:
            changed += fold(group, scales_of(statistics.absmax, weights, spec.alpha), stored)
            continue
        grid = grid_of(spec, stored[f"{group.names.readers[0]}.weight"])
        loss = ParentLoss(group, calls[group.names.parent])
        choice = search(weights, statistics.absmax, loss, grid, static=spec.activation_scales == "static", between=steps.check_cancelled)
        if choice.alpha is not None:
            steps.measured("alpha", choice.alpha, block.index, f"{streamed.block_prefix(block.index)}{group.names.source}")
            changed += fold(group, choice.scales, stored)
    return changed


def search(
    weights: Sequence[Tensor],
    absmax: Tensor,
    loss: Callable[[Sequence[Tensor], RoundInputs], float],
    grid: Grid,
    *,
    static: bool = False,
    between: Callable[[], None] = lambda: None,
) -> Choice:
    """The α from 0.2 to 0.95 with the least loss when weights and inputs are rounded, or none.

    Args:
        weights: float32 [out, in] of the linears that read one input.
        absmax: float32 [in], of the input.
        loss: of weights in the places of these and rounded inputs.
        grid: what weights will be rounded to.
        static: inputs are rounded by one scale.
        between: called between trials; may raise to cancel.
    """
    best = Choice(None, torch.ones_like(absmax), torch.inf)
    for alpha in (None, *_ALPHAS):
        between()
        scales = torch.ones_like(absmax) if alpha is None else scales_of(absmax, weights, alpha)
        inputs = ActivationQuantizer("int8", static_scale(float((absmax / scales).max())) if static else None)
        found = loss([rounded(weight * scales, grid) / scales for weight in weights], _on_scale(inputs, scales))
        if found < best.loss:
            best = Choice(alpha, scales, found)
    return best


def scales_of(absmax: Tensor, weights: Sequence[Tensor], alpha: float) -> Tensor:
    """absmax^α / (largest weight of the column)^(1-α), never below 1e-5.

    Args:
        absmax: float32 [in], of the input.
        weights: float32 [out, in] of all linears that read it.
        alpha: share of the difficulty that moves into the weights.
    """
    largest = torch.stack([weight.abs().amax(dim=0) for weight in weights]).amax(dim=0).clamp(min=_FLOOR)
    return (absmax.pow(alpha) / largest.pow(1 - alpha)).clamp(min=_FLOOR)


def quantize(weight: Tensor, statistics: InputStatistics, config: SmoothConfig) -> QuantizedTensor:
    """Round one weight that is smoothed already, and say how its inputs are rounded.

    Args:
        weight: [out, in].
        statistics: of its inputs as they are now.
        config: the grid, and where the scales of the inputs come from.

    Raises:
        RunFailed: the weight holds NaN or infinity, groups do not divide a row, or a scale of inputs that were never seen is asked for.
    """
    return with_rounded_inputs(rtn.quantize(weight, statistics, config.grid), statistics, static=config.static)


def _on_scale(inputs: ActivationQuantizer, scales: Tensor) -> RoundInputs:
    """Rounding of scaled inputs, for inputs on the original scale."""

    def round_inputs(activations: Tensor) -> Tensor:
        factors = scales.to(activations.dtype)
        return inputs(activations / factors) * factors

    return round_inputs


SOLVER = LinearSolver(quantize, lambda spec, grid, _name: SmoothConfig(grid, static=spec.activation_scales == "static"), prepare)

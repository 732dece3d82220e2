"""Remove inputs of a linear together with what makes them, and make up for them: in memory by zeros, for the checkpoint by slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.calibration.blocks import Block
from core.calibration.statistics import InputStatistics
from core.numerics.errors import output_error, weight_error
from core.prune.plan.request import Compensation
from core.prune.result import Axis, ImportanceFigures, LinearFigures
from core.prune.structure.inputs.activations import ActivationMeans
from core.prune.structure.inputs.bias import bias_error, bias_for, set_bias
from core.prune.structure.inputs.compensation import refit
from core.prune.structure.inputs.slices import Slice, by_name, cut, others
from core.sanitize import clean

LONGEST_AXIS = 512
"""An axis longer than this is not listed index by index in a result."""


@dataclass(frozen=True)
class Removal:
    """What goes from one block."""

    reader: str
    """Name of the linear that loses inputs."""
    makers: tuple[str, ...]
    """Names of the linears that lose the outputs from which those inputs are made."""
    removed: Tensor
    """int64, ascending: inputs of the reader."""
    slices: tuple[Slice, ...]
    """What stays of each parameter."""


def remove_inputs(
    block: Block,
    removal: Removal,
    compensation: Compensation,
    damp: float,
    statistics: InputStatistics | None,
    means: ActivationMeans | None,
    name: str,
) -> tuple[dict[str, Tensor], LinearFigures]:
    """Cut a block, and leave the reader in memory with zeros where inputs went, so that the block already computes what the smaller one will.

    Args:
        block: with its weights as they are.
        removal: what goes.
        compensation: how the reader makes up for it.
        damp: of the least squares.
        statistics: of the reader's inputs; None without calibration, when nothing is made up for.
        means: of the same inputs.
        name: of the reader in the checkpoint, without `.weight`.

    Returns:
        Parameters of the smaller block that differ, by their name inside it, and what was removed at what error.
    """
    linear = block.linears[removal.reader]
    original = linear.weight.detach().to(torch.float32, copy=True)
    kept = others(removal.removed, original.shape[1])
    masked = original.index_fill(1, removal.removed, 0)
    result, added = masked, None
    if statistics is not None and compensation == "least-squares":
        result = _put_back(linear, kept, refit(original, statistics.hessian, kept, removal.removed, damp))
    else:
        _put_back(linear, kept, original.index_select(1, kept))
    if compensation == "bias":
        added = bias_for(original, removal.removed, means)
    parameters = dict(block.module.named_parameters())
    cuts = {parameter: cut(parameters[parameter], slices) for parameter, slices in by_name(removal.slices).items() if parameter in parameters}
    if added is not None:
        cuts |= _missing_biases(block, removal.makers, cuts)
        cuts[f"{removal.reader}.bias"] = set_bias(linear, added)
    bias = None if added is None else lambda weight: bias_error(original, weight, statistics, means)
    return cuts, _figures(name, block.index, original, masked, result, statistics, bias)


def _put_back(linear: nn.Linear, kept: Tensor, weight: Tensor) -> Tensor:
    """Give a linear the weight [out, kept] on the inputs that stay and zeros on others, as its dtype rounds it; returns it as float32 [out, in]."""
    full = torch.zeros_like(linear.weight)
    full[:, kept.to(full.device)] = weight.to(full.dtype)
    linear.weight.data.copy_(full)
    return full.float()


def _missing_biases(block: Block, makers: Iterable[str], cuts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Zeros for linears that have no bias but must, because one flag of the configuration gives biases to all of them."""
    return {f"{name}.bias": cuts[f"{name}.weight"].new_zeros(len(cuts[f"{name}.weight"])) for name in makers if block.linears[name].bias is None}


def _figures(
    name: str,
    block: int,
    original: Tensor,
    masked: Tensor,
    result: Tensor,
    statistics: InputStatistics | None,
    bias: Callable[[Tensor], float] | None = None,
) -> LinearFigures:
    """What cutting its inputs costs a linear.

    Args:
        name: in the checkpoint.
        block: its number.
        original: weight float32 [out, in].
        masked: the original with zeros where inputs went, float32 [out, in].
        result: what was put in its place, zeros where inputs went, float32 [out, in].
        statistics: of its inputs; None: errors are those of the weights.
        bias: from the masked weight to its relative error once a bias makes up for the mean; None: no bias is added.
    """

    def error(weight: Tensor) -> float:
        if statistics is None:
            return weight_error(original, weight).relative
        return output_error(original, weight, statistics.hessian).relative

    rows, columns = original.shape
    removed = int((result == 0).all(dim=0).sum()) * rows
    before = error(masked)
    after = bias(masked) if bias is not None else before if result is masked else error(result)
    compensated = bias is not None or result is not masked
    return LinearFigures(
        name=clean(name, limit=200),
        block=block,
        rows=rows,
        columns=columns,
        removed=removed,
        sparsity=removed / original.numel(),
        error=after,
        error_before=before if compensated else None,
    )


def importance_of(block: int, axis: Axis, scores: Tensor, removed: Tensor) -> ImportanceFigures:
    """What was removed along an axis, and how important it was.

    Args:
        block: its number, -1 for the whole model.
        axis: as results call it.
        scores: float32 [size].
        removed: int64, ascending.
    """
    values, gone = scores.double().cpu(), removed.cpu()
    total = float(values.sum())
    listed = len(values) <= LONGEST_AXIS
    return ImportanceFigures(
        block=block,
        axis=axis,
        size=len(values),
        kept=len(values) - len(gone),
        kept_share=1 - float(values[gone].sum()) / total if total > 0 else 1.0,
        scores=tuple(values.tolist()) if listed else (),
        removed=tuple(gone.tolist()) if listed else (),
    )

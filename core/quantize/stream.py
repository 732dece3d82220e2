"""Quantize a model linear by linear, block by block, with no more than a block in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.calibration.blocks import CalibratedBlock, calibrated_blocks, plain_blocks
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.models.headers import model_tensors
from core.models.streaming import StreamedModel
from core.models.tensors import TORCH_DTYPES
from core.numerics.errors import output_error, weight_error
from core.numerics.tensor import QuantizedTensor
from core.quantize import rtn
from core.quantize.gptq import NotPositiveDefinite
from core.quantize.methods import METHODS, grid_of
from core.quantize.result import LayerFigures
from core.quantize.spec import QuantizeSpec
from core.quantize.steps import Steps
from core.sanitize import clean


@dataclass(frozen=True)
class QuantizedLinear:
    """One finished linear."""

    name: str
    """Name in the checkpoint, without `.weight`."""
    tensor: QuantizedTensor
    figures: LayerFigures


def quantized_linears(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor | None, steps: Steps) -> Iterator[QuantizedLinear]:
    """Every linear of every block in turn; each sees the outputs of the linears that were quantized before it.

    Args:
        streamed: the original model.
        spec: the request.
        windows: calibration tokens int64 [N, T]; None for a method that needs none, errors are then those of the weights.
        steps: told what is being done; may raise to cancel.
    """
    stored = {name: TORCH_DTYPES[location.info.dtype] for name, location in model_tensors(streamed.folder).items()}
    # Between blocks the hidden states are kept in the dtype of the weights, as a forward pass in that dtype would.
    dtype = Counter(stored[name] for name in streamed.block_tensors(0) if stored[name].is_floating_point).most_common(1)[0][0]
    blocks = plain_blocks(streamed) if windows is None else calibrated_blocks(streamed, windows, steps.check_cancelled, dtype)
    for block in blocks:
        for group in block.groups:
            steps.say(
                f"{'quantizing' if windows is None else 'calibrating'} {', '.join(group.names)} in block {block.index + 1} of {streamed.n_blocks}"
            )
            statistics = block.statistics(group) if isinstance(block, CalibratedBlock) else None
            for name in group.names:
                parameter = streamed.checkpoint_name(f"{streamed.block_prefix(block.index)}{name}.weight")
                yield _quantize(block.linears[name], parameter, spec, stored.get(parameter, dtype), statistics)


def _quantize(linear: nn.Linear, stored_name: str, spec: QuantizeSpec, stored: torch.dtype, statistics: InputStatistics | None) -> QuantizedLinear:
    """Quantize one linear and put the rounded weight in its place."""
    name = stored_name.removesuffix(".weight")
    original = linear.weight.detach().to(torch.float32)
    try:
        tensor = _solve(original, spec, stored, statistics)
    except RunFailed as error:
        raise RunFailed(f"{clean(name, limit=200)}: {error}") from error
    approximation = tensor.dequantize()
    of_weights = weight_error(original, approximation).relative
    of_outputs = output_error(original, approximation, statistics.hessian) if statistics is not None and statistics.tokens else None
    linear.weight.data.copy_(approximation)
    rows, columns = original.shape
    figures = LayerFigures(
        name=clean(name, limit=200),
        error=of_weights if of_outputs is None else of_outputs.relative,
        weight_error=of_weights,
        bytes=tensor.nbytes,
        rows=rows,
        columns=columns,
    )
    return QuantizedLinear(name, tensor, figures)


def _solve(weight: Tensor, spec: QuantizeSpec, stored: torch.dtype, statistics: InputStatistics | None) -> QuantizedTensor:
    """By the method asked for; to nearest where the method cannot work, with a note that says so."""
    method, grid = METHODS[spec.method], grid_of(spec, stored)
    if method.calibrated and (statistics is None or not statistics.tokens):
        return replace(rtn.quantize(weight, None, grid), notes=("no calibration text ever reached it: rounded to nearest instead",))
    try:
        return method.quantize(weight, statistics, method.config(spec, grid))
    except NotPositiveDefinite as error:
        return replace(rtn.quantize(weight, None, grid), notes=(f"{error}; rounded to nearest instead",))

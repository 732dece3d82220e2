"""Quantize a model linear by linear, block by block, with no more than a block in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from core.calibration.blocks import Block, CalibratedBlock, calibrated_blocks, plain_blocks
from core.calibration.cholesky import NotPositiveDefinite
from core.calibration.sharing import devices_of, shared
from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.models.stream.stored_dtypes import stored_dtypes
from core.models.stream.streaming import StreamedModel
from core.numerics.errors import output_error, weight_error
from core.numerics.stored import StoredWeight
from core.numerics.tensor import QuantizedTensor
from core.numerics.zeros import count_zeros
from core.quantize.linear import rtn
from core.quantize.linear.grids import grid_of
from core.quantize.linear.rounded_inputs import with_rounded_inputs
from core.quantize.methods import METHODS
from core.quantize.pipeline.items import BlockDone, BlockFacts, BlockPassed, ChangedTensor, Item, QuantizedLinear
from core.quantize.pipeline.solvers import linear_solver
from core.quantize.result import LayerFigures
from core.quantize.spec import QuantizeSpec
from core.runs.steps import Steps
from core.sanitize import clean


def quantized_linears(
    streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor | None, steps: Steps, spec_of: Callable[[str], QuantizeSpec] | None = None
) -> Iterator[Item]:
    """Every linear of every block in turn; each sees the outputs of the linears that were quantized before it.

    A block that was kept when the run was stopped comes as one `KeptBlock`.

    Args:
        streamed: the original model.
        spec: the request, for a method that rounds one linear at a time.
        windows: calibration tokens int64 [N, T]; None for a method that needs none, errors are then those of the weights.
        steps: reports what is being done; may raise to cancel.
        spec_of: from a linear's name in the checkpoint, without `.weight`, to the request for it alone; default: `spec`.
    """
    prepare = linear_solver(spec.method).prepare
    stored, dtype = stored_dtypes(streamed)
    begin, hidden = steps.store.blocks, steps.store.hidden
    for index in range(begin):
        yield steps.store.block(index, BlockFacts)
    for block in _blocks(streamed, windows, steps, dtype, begin, hidden):
        prefix = streamed.block_prefix(block.index)
        if block.index > begin:
            yield BlockPassed(block.index - 1, block.hidden if isinstance(block, CalibratedBlock) else None, streamed.n_blocks - block.index)
        if prepare is not None and isinstance(block, CalibratedBlock):
            for inside in prepare(block, streamed, spec, steps):
                name = streamed.checkpoint_name(f"{prefix}{inside}")
                parameter = block.module.get_parameter(inside)
                changed = parameter.detach().to(stored.get(name, dtype))
                parameter.data.copy_(changed)
                yield ChangedTensor(name, changed)
        for group in block.groups:
            steps.say(
                f"{'quantizing' if windows is None else 'calibrating'} {', '.join(group.names)} in block {block.index + 1} of {streamed.n_blocks}"
            )
            statistics = block.statistics(group) if isinstance(block, CalibratedBlock) else None
            work = partial(
                _in_group, streamed=streamed, block=block, spec_of=spec_of or (lambda _name: spec), stored=stored, usual=dtype, statistics=statistics
            )
            yield from shared(work, group.names, devices_of(streamed.device))
            del work, statistics  # what was derived from them takes as much again; the next group brings its own
        yield BlockDone(block.index)
    if begin < streamed.n_blocks:
        yield BlockPassed(streamed.n_blocks - 1, None, 0)


def _blocks(streamed: StreamedModel, windows: Tensor | None, steps: Steps, dtype: torch.dtype, begin: int, hidden: Tensor | None) -> Iterator[Block]:
    if windows is None:
        return plain_blocks(streamed, begin)
    return calibrated_blocks(streamed, windows, steps.check_cancelled, dtype, begin, hidden)


def _in_group(
    name: str,
    device: torch.device,
    *,
    streamed: StreamedModel,
    block: Block,
    spec_of: Callable[[str], QuantizeSpec],
    stored: Mapping[str, torch.dtype],
    usual: torch.dtype,
    statistics: InputStatistics | None,
) -> QuantizedLinear:
    """A linear of a block, by its name inside it, on one of the devices that share the work."""
    weight, linear = streamed.checkpoint_name(f"{streamed.block_prefix(block.index)}{name}.weight"), block.linears[name]
    there = None if statistics is None else statistics.on(device)
    return _quantize(linear, weight, spec_of(weight.removesuffix(".weight")), stored.get(weight, usual), there, device)


def _quantize(
    linear: nn.Linear, stored_name: str, spec: QuantizeSpec, stored: torch.dtype, statistics: InputStatistics | None, device: torch.device
) -> QuantizedLinear:
    """Quantize one linear on a device and put the rounded weight in its place."""
    name = stored_name.removesuffix(".weight")
    original = linear.weight.detach().to(device, torch.float32)
    try:
        tensor = solve(original, name, spec, stored, statistics)
    except RunFailed as error:
        raise RunFailed(f"{clean(name, limit=200)}: {error}") from error
    approximation = tensor.dequantize()
    hessian = statistics.hessian if statistics is not None and statistics.tokens else None
    figures = figures_of(name, original, approximation, tensor.nbytes, spec.bits, hessian)
    linear.weight.data.copy_(approximation)
    return QuantizedLinear(name, tensor, figures)


def figures_of(name: str, original: Tensor, approximation: Tensor, nbytes: int, bits: int, hessian: Tensor | None) -> LayerFigures:
    """What rounding a linear cost.

    Args:
        name: in the checkpoint.
        original: weight float32 [out, in].
        approximation: what it became, float32 [out, in].
        nbytes: on disk.
        bits: of a code.
        hessian: of its inputs float32 [in, in]; None when no calibration text reached it: the error is then that of the weights.
    """
    of_weights = weight_error(original, approximation).relative
    rows, columns = original.shape
    zeros, zeros_kept = count_zeros(original, approximation)
    return LayerFigures(
        name=clean(name, limit=200),
        error=of_weights if hessian is None else output_error(original, approximation, hessian).relative,
        weight_error=of_weights,
        bytes=nbytes,
        rows=rows,
        columns=columns,
        bits=bits,
        zeros=zeros,
        zeros_kept=zeros_kept,
    )


def solve(weight: Tensor, name: str, spec: QuantizeSpec, stored: torch.dtype, statistics: InputStatistics | None) -> StoredWeight:
    """By the method asked for; to nearest where the method cannot work, with a note that says so."""
    tensor = _rounded(weight, name, spec, stored, statistics)
    if spec.activation_bits == 8 and isinstance(tensor, QuantizedTensor) and tensor.activations is None:
        return with_rounded_inputs(tensor, statistics, static=spec.activation_scales == "static")
    return tensor


def _rounded(weight: Tensor, name: str, spec: QuantizeSpec, stored: torch.dtype, statistics: InputStatistics | None) -> StoredWeight:
    solver, grid = linear_solver(spec.method), grid_of(spec, stored)
    unreached = spec.calibrates and (statistics is None or not statistics.tokens)
    if unreached and METHODS[spec.method].fallback:
        return replace(rtn.quantize(weight, None, grid), notes=("the calibration text never reached it: rounded to nearest instead",))
    try:
        return solver.quantize(weight, None if unreached else statistics, solver.config(spec, grid, name))
    except NotPositiveDefinite as error:
        return replace(rtn.quantize(weight, None, grid), notes=(f"{error}; rounded to nearest instead",))

"""The methods by name: what each needs to know and how its configuration follows from the spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from core.calibration.blocks import CalibratedBlock
from core.models.stream.streaming import StreamedModel
from core.numerics.grid import Grid
from core.numerics.stored import StoredWeight
from core.quantize import gptq
from core.quantize.linear import additive, awq, fp8, int8, nf4, rtn, smoothquant
from core.quantize.spec import QuantizeSpec
from core.quantize.whole import gguf, qat
from core.runs.steps import Steps

if TYPE_CHECKING:
    from core.quantize.pipeline.checkpoint import Written
    from core.quantize.pipeline.stream import Item

Quantize = Callable[[Tensor, Any, Any], StoredWeight]
Prepare = Callable[[CalibratedBlock, StreamedModel, QuantizeSpec, Steps], Iterable[str]]
Linears = Callable[[StreamedModel, QuantizeSpec, Tensor | None, Steps], "Iterator[Item]"]
Write = Callable[[QuantizeSpec, StreamedModel, Tensor | None, Path, Steps], "Written"]


@dataclass(frozen=True)
class MethodEntry:
    """One way to quantize a model."""

    quantize: Quantize | None = None
    """(weight float32 [out, in], statistics of its inputs or None, config) to the quantized weight."""
    config: Callable[[QuantizeSpec, Grid, str], Any] = lambda _spec, grid, _name: grid
    """From the spec, its grid and the linear's name in the checkpoint."""
    prepare: Prepare | None = None
    """Changes a block's module in place before its linears are quantized; names, inside the block, of parameters that are no linear's weight
    and were changed."""
    linears: Linears | None = None
    """Does the whole model by itself instead."""
    write: Write | None = None
    """Even writes the checkpoint by itself, at the path given."""


def _mixed(streamed: StreamedModel, spec: QuantizeSpec, windows: Tensor | None, steps: Steps) -> Iterator[Item]:
    from core.quantize.whole import mixed  # which quantizes through this table

    yield from mixed.linears(streamed, spec, windows, steps)


METHODS: dict[str, MethodEntry] = {
    "rtn": MethodEntry(rtn.quantize),
    "gptq": MethodEntry(gptq.quantize, lambda spec, grid, _name: gptq.GptqConfig(grid, spec.damp, spec.act_order, spec.static_groups)),
    "awq": MethodEntry(awq.quantize, awq.config, prepare=awq.prepare),
    "smoothquant": MethodEntry(smoothquant.quantize, smoothquant.config, prepare=smoothquant.prepare),
    "fp8": MethodEntry(fp8.quantize, fp8.config),
    "nf4": MethodEntry(nf4.quantize, nf4.config),
    "int8": MethodEntry(int8.quantize, int8.config),
    "gguf": MethodEntry(write=gguf.write),
    "additive": MethodEntry(additive.quantize, additive.config),
    "qat": MethodEntry(linears=qat.linears),
    "mixed": MethodEntry(linears=_mixed),
}

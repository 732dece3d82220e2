"""What a method is that rounds one linear at a time: the block-by-block pipeline brings it weights and statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from core.calibration.blocks import CalibratedBlock
from core.formats.base import Format
from core.models.stream.streaming import StreamedModel
from core.numerics.grid import Grid
from core.numerics.stored import StoredWeight
from core.quantize.spec import QuantizeSpec
from core.runs.steps import Steps

Config = TypeVar("Config")


@dataclass(frozen=True)
class LinearSolver(Generic[Config]):
    """How one linear is rounded."""

    quantize: Callable[[Tensor, Any, Config], StoredWeight]
    """(weight float32 [out, in], statistics of its inputs or None, config) to the quantized weight."""
    config: Callable[[QuantizeSpec, Grid, str], Config]
    """From the request, its integer grid and the linear's name in the checkpoint."""
    prepare: Callable[[CalibratedBlock, StreamedModel, QuantizeSpec, Steps], Iterable[str]] | None = None
    """Changes a block's module in place before its linears are quantized; names, inside the block, of parameters that are no linear's weight
    and were changed."""
    scheme: Callable[[QuantizeSpec], Format] | None = None
    """How the checkpoint stores the result; None: as an integer grid in the format that is asked for."""

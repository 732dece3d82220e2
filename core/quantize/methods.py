"""The methods by name: what each needs to know and how its configuration follows from the spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize import gptq, rtn
from core.quantize.spec import QuantizeSpec


@dataclass(frozen=True)
class MethodEntry:
    """One way to quantize a weight."""

    quantize: Callable[[Tensor, Any, Any], QuantizedTensor]
    """(weight, statistics, config) to the quantized weight."""
    config: Callable[[QuantizeSpec, Grid], Any]
    calibrated: bool
    """Whether it looks at the statistics of the linear's inputs."""


METHODS: dict[str, MethodEntry] = {
    "rtn": MethodEntry(rtn.quantize, lambda _spec, grid: grid, calibrated=False),
    "gptq": MethodEntry(gptq.quantize, lambda spec, grid: gptq.GptqConfig(grid, spec.damp, spec.act_order, spec.static_groups), calibrated=True),
}


def grid_of(spec: QuantizeSpec, stored: torch.dtype) -> Grid:
    """The grid that a spec asks for, with scales in the dtype of the model's weights."""
    scale_dtype = stored if stored in (torch.float32, torch.float16, torch.bfloat16) else torch.float32
    return Grid(spec.bits, spec.symmetric, spec.granularity, spec.group_size, spec.clipping, scale_dtype)

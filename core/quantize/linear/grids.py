"""The integer grid that a spec asks for."""

from __future__ import annotations

import torch

from core.numerics.grid import Grid
from core.quantize.spec import QuantizeSpec


def grid_of(spec: QuantizeSpec, stored: torch.dtype) -> Grid:
    """The integer grid that a spec asks for, with scales in the dtype that the format or the model's weights have."""
    scale_dtype = stored if stored in (torch.float32, torch.float16, torch.bfloat16) else torch.float32
    if spec.format in ("gptq", "awq"):
        scale_dtype = torch.float16
    granularity = "group" if spec.granularity == "block" else spec.granularity
    reserved = 1 if spec.format == "gptq" and not spec.symmetric else 0
    return Grid(spec.bits, spec.symmetric, granularity, spec.group_size, spec.clipping, scale_dtype, reserved=reserved)

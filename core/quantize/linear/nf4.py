"""NF4 with or without double quantization (QLoRA, arXiv 2305.14314): no data needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import RunFailed
from core.formats.layouts.bitsandbytes import BitsAndBytes
from core.numerics.nf4 import BLOCK, Nf4Tensor, quantize_nf4
from core.quantize.linear.solver import LinearSolver


@dataclass(frozen=True)
class Nf4Config:
    """How one linear becomes NF4."""

    double_quant: bool = True
    """Whether the scales are rounded to 8 bits."""
    dtype: torch.dtype = torch.bfloat16
    """Of the weight in its checkpoint."""
    block: int = BLOCK
    """Weights that share a scale."""


def quantize(weight: Tensor, statistics: object, config: Nf4Config) -> Nf4Tensor:
    """Quantize one weight.

    Args:
        weight: [out, in].
        statistics: not looked at.
        config: the size of blocks, whether scales are rounded too, and the dtype of the checkpoint.

    Raises:
        RunFailed: the weight holds NaN or infinity.
    """
    del statistics
    if not torch.isfinite(weight).all():
        raise RunFailed("the weight contains NaN or Inf: the checkpoint is damaged, fetch it again")
    return quantize_nf4(weight.to(torch.float32), nested=config.double_quant, dtype=config.dtype, block=config.block)


SOLVER = LinearSolver(
    quantize,
    # Scales of a grid have the dtype of the weight in its checkpoint.
    lambda spec, grid, _name: Nf4Config(spec.double_quant, grid.scale_dtype, spec.group_size),
    scheme=lambda spec: BitsAndBytes("nf4", spec.double_quant),
)

"""LLM.int8() (arXiv 2208.07339): no data needed; outliers are looked for while the model runs."""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import RunFailed
from core.formats.layouts.bitsandbytes import BitsAndBytes
from core.numerics.llm_int8 import THRESHOLD, Int8Rows, quantize_rows
from core.quantize.linear.solver import LinearSolver


def quantize(weight: Tensor, statistics: object, config: float = THRESHOLD) -> Int8Rows:
    """Quantize one weight.

    Args:
        weight: [out, in].
        statistics: not looked at.
        config: magnitude from which an input's feature is multiplied in full precision.

    Raises:
        RunFailed: the weight holds NaN or infinity.
    """
    del statistics
    if not torch.isfinite(weight).all():
        raise RunFailed("the weight contains NaN or Inf: the checkpoint is damaged, fetch it again")
    return quantize_rows(weight.to(torch.float32), config)


SOLVER = LinearSolver(quantize, lambda _spec, _grid, _name: THRESHOLD, scheme=lambda _spec: BitsAndBytes("int8", double_quant=False))

"""Round to nearest: every weight to the closest value of its grid, no data needed."""

from __future__ import annotations

import torch
from torch import Tensor

from core.errors import RunFailed
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor


def quantize(weight: Tensor, statistics: object, config: Grid) -> QuantizedTensor:
    """Quantize one weight.

    Args:
        weight: [out, in].
        statistics: not looked at.
        config: the grid.

    Raises:
        RunFailed: the weight holds NaN or infinity, or groups do not divide a row.
    """
    del statistics
    rows, columns = weight.shape
    span = config.span(columns)
    if columns % span:
        raise RunFailed(f"groups of {config.group_size} do not divide a row of {columns}: choose a group size that does")
    if not torch.isfinite(weight).all():
        raise RunFailed("the weight holds NaN or infinity: the checkpoint is damaged, fetch it again")
    grouped = weight.to(torch.float32).reshape(rows, columns // span, span)
    scales, zeros = config.fit(grouped, dim=-1)
    codes = config.encode(grouped, scales, zeros).to(torch.int8).view(rows, columns)
    scales, zeros = scales.squeeze(-1), None if zeros is None else zeros.squeeze(-1).to(torch.int8)
    if config.granularity == "tensor":
        scales, zeros = scales[:1, :1], None if zeros is None else zeros[:1, :1]
    return QuantizedTensor(
        codes=codes,
        scales=scales.to(config.scale_dtype).contiguous(),
        zeros=zeros,
        group_index=torch.arange(columns, dtype=torch.int32, device=weight.device) // span,
        bits=config.bits,
        granularity=config.granularity,
    )

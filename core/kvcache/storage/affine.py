"""Keys and values on uniform grids whose scale, and lowest value where there is one, are kept as float16.

Unlike the grids of weights (`core.numerics.grid`), the asymmetric one here reaches from the smallest to the largest value of its group and need not
hold 0: the channels of keys lie far from it (KIVI, arXiv 2402.02750).
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALLEST = 2.0**-24
"""Of float16; scales are not smaller, so that a group of equal values has codes of 0 instead of NaN."""
_LARGEST = 65504.0


def by_channels(states: Tensor, span: int) -> Tensor:
    """View [..., t, d] as [..., t, d / span, span]."""
    return states.view(*states.shape[:-1], -1, span)


def by_tokens(states: Tensor, group: int) -> Tensor:
    """View [..., t, d] as [..., t / group, group, d]."""
    return states.view(*states.shape[:-2], -1, group, states.shape[-1])


def quantize_symmetric(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Round to whole multiples of a scale, absmax / (2^(bits-1) - 1), along the last dimension.

    Args:
        values: floats [..., n].
        bits: 2 to 8.

    Returns:
        Codes int8 [..., n] and scales float16 [..., 1].
    """
    highest = (1 << (bits - 1)) - 1
    scales = torch.linalg.vector_norm(values, torch.inf, -1, keepdim=True, dtype=torch.float32).div_(highest).clamp_(_SMALLEST, _LARGEST).half()
    return torch.div(values.float(), scales).round_().clamp_(-highest, highest).to(torch.int8), scales


def quantize_range(values: Tensor, dim: int, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Round to 2^bits equal steps between the smallest and the largest value along a dimension.

    Args:
        values: floats, any shape.
        dim: its slices share a grid.
        bits: 1 to 8.

    Returns:
        Codes uint8 of the shape of `values`, and float16 scales and lowest values, both with length 1 at `dim`: x = code * scale + lowest.
    """
    levels = (1 << bits) - 1
    values = values.float()
    low, high = torch.aminmax(values, dim=dim, keepdim=True)
    lowest = low.clamp_(-_LARGEST, _LARGEST).half()
    scales = high.sub_(lowest).div_(levels).clamp_(_SMALLEST, _LARGEST).half()
    codes = torch.sub(values, lowest).div_(scales).round_().clamp_(0, levels)
    return codes.to(torch.uint8), scales, lowest

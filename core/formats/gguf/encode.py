"""Plain numbers and Q8_0 in the bytes that ggml wants, computed with torch's vector units."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_AT_ONCE = 2**14
"""Values that are worked on together: they stay in a core's cache, and torch calls no second thread for so few."""
_BLOCK = 32
_BELOW_HALF = 0.49999997


def encode(tensor: Tensor, block: str) -> Tensor:
    """Bytes, uint8 [n], of a float tensor in row-major order, whose rows fill whole blocks, as F32, F16, BF16 or Q8_0."""
    flat = tensor.contiguous().view(-1)
    if block == "Q8_0":
        return _q8_0(flat)
    return flat.to({"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[block]).view(torch.uint8)


def parts(tensor: Tensor, at_once: int = 2**22) -> Iterator[Tensor]:
    """A tensor's values in runs that bound the memory; every run but the last fills whole blocks."""
    return iter(torch.split(tensor.contiguous().view(-1), at_once))


def _q8_0(flat: Tensor) -> Tensor:
    """Blocks of 32 values: a scale in half precision, absmax / 127, and the values in int8, rounded half away from zero."""
    out = torch.empty(flat.numel() // _BLOCK, _BLOCK + 2, dtype=torch.uint8)
    scales, codes = out[:, :2], out[:, 2:].view(torch.int8)
    values, other = torch.empty(2, min(_AT_ONCE, flat.numel()) // _BLOCK, _BLOCK).unbind()
    below_half = torch.tensor(_BELOW_HALF)
    at = 0
    for part in torch.split(flat, _AT_ONCE):
        size = part.numel() // _BLOCK
        values, other = values[:size], other[:size]
        values.copy_(part.view(-1, _BLOCK))
        scale = torch.abs(values, out=other).amax(dim=1, keepdim=True).div_(127)
        values.mul_(torch.where(scale == 0, 0, scale.reciprocal()))
        # Adding the number below one half and cutting off rounds halves away from zero and never carries a value over the next integer.
        values.add_(torch.copysign(below_half, values, out=other))
        codes[at : at + size].copy_(values)
        scales[at : at + size] = scale.to(torch.float16).view(torch.uint8)
        at += size
    return out.view(-1)


def decode_q8_0(raw: Tensor) -> Tensor:
    """float32 [n] from bytes, uint8 [n / 32 * 34]."""
    blocks = raw.view(-1, _BLOCK + 2)
    scale = blocks[:, :2].contiguous().view(torch.float16).to(torch.float32)
    return (blocks[:, 2:].view(torch.int8).to(torch.float32) * scale).view(-1)

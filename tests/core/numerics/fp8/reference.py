"""A cast to 8-bit floats bit by bit, and back by table."""

from typing import Literal

import torch
from torch import Tensor

from core.numerics.fp8.codec import Fp8Format

Overflow = Literal["saturate", "nonfinite"]

_NAN = 0x7F
_FLOAT32_BIAS, _FLOAT32_MANTISSA = 127, 23


def smallest_normal(kind: Fp8Format) -> float:
    """Smallest value whose mantissa has all its bits."""
    return 2.0 ** (1 - kind.bias)


def encode(values: Tensor, kind: Fp8Format, overflow: Overflow = "saturate") -> Tensor:
    """Codes of the nearest values, from the bits of the floats.

    Args:
        values: any float dtype that float32 holds exactly, of any shape.
        kind: E4M3 or E5M2.
        overflow: what becomes of finite and infinite values that round beyond the largest: `saturate` gives the largest, as
            quantization wants it; `nonfinite` gives infinity, or NaN where the format has no infinity, as the specification's cast does.
            NaN stays NaN. (torch's own cast saturates to E4M3 since 2.13, gave NaN before, and always gives infinity in E5M2.)

    Returns:
        uint8 of the shape of `values`.
    """
    single = values.to(torch.float32)
    bits = single.view(torch.int32)
    sign = (bits >> 24) & 0x80
    magnitude = bits & 0x7FFFFFFF
    shift = _FLOAT32_MANTISSA - kind.mantissa
    even = (magnitude >> shift) & 1
    codes = (magnitude - ((_FLOAT32_BIAS - kind.bias) << _FLOAT32_MANTISSA) + even + ((1 << (shift - 1)) - 1)) >> shift
    absolute = single.abs()
    # Below the smallest normal number the steps are equal: scaling by a power of two is exact, and torch.round goes to even.
    steps = torch.round(absolute.clamp(max=smallest_normal(kind)) / kind.smallest_subnormal).to(torch.int32)
    codes = torch.where(absolute < smallest_normal(kind), steps, codes)
    beyond = kind.highest if overflow == "saturate" else kind.highest + 1
    codes = torch.where(codes > kind.highest, beyond, codes)
    codes = torch.where(torch.isnan(single), _NAN, codes)
    return (codes | sign).to(torch.uint8)


def decode(codes: Tensor, kind: Fp8Format) -> Tensor:
    """Values of codes, float32: `codes` uint8, or torch's own 8-bit float, of any shape."""
    return kind.decode_table().to(codes.device)[codes.view(torch.uint8).long()]

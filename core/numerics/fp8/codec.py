"""8-bit floats: E4M3 without infinities ("fn") and E5M2, cast by torch and decoded by table.

The formats are those of "FP8 Formats for Deep Learning" (arXiv 2209.05433) and the OCP 8-bit specification: E4M3 ends at 448 and
has one NaN a sign, E5M2 ends at 57344 and has infinities. Rounding is to nearest, ties to even, subnormals included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Fp8Name = Literal["e4m3", "e5m2"]

_FLOAT16_BIAS, _FLOAT16_MANTISSA = 15, 10


@dataclass(frozen=True)
class Fp8Format:
    """One way to spend eight bits: a sign, an exponent, a mantissa."""

    name: Fp8Name
    mantissa: int
    """Bits of the mantissa; the exponent has the other seven."""
    bias: int
    highest: int
    """Code of the largest finite value."""
    infinities: bool
    """Whether the next code is infinity; it is NaN otherwise."""
    dtype: torch.dtype
    """torch's name for it."""

    @property
    def largest(self) -> float:
        """Largest finite value."""
        return float(self.decode_table()[self.highest])

    @property
    def smallest_subnormal(self) -> float:
        """Smallest value above zero."""
        return 2.0 ** (1 - self.bias - self.mantissa)

    @property
    def half_factor(self) -> float:
        """What the float16 with the same bits has to be multiplied by."""
        return 2.0 ** (_FLOAT16_BIAS - self.bias)

    def decode_table(self) -> Tensor:
        """float32 [256]: the value of every code."""
        return _decode_table(self)


E4M3 = Fp8Format("e4m3", mantissa=3, bias=7, highest=0x7E, infinities=False, dtype=torch.float8_e4m3fn)
E5M2 = Fp8Format("e5m2", mantissa=2, bias=15, highest=0x7B, infinities=True, dtype=torch.float8_e5m2)
FP8_FORMATS: dict[str, Fp8Format] = {"e4m3": E4M3, "e5m2": E5M2}


def cast(values: Tensor, kind: Fp8Format) -> Tensor:
    """The nearest values with saturation; tests compare them with a cast bit by bit."""
    return values.clamp(-kind.largest, kind.largest).to(kind.dtype)


def decode_into(codes: Tensor, kind: Fp8Format, out: Tensor) -> Tensor:
    """Values of codes up to a power of two, several times as fast as by table or by torch's cast on a CPU: a code's bits, moved, are a float16's.

    Args:
        codes: torch's own 8-bit float, finite, of any shape.
        kind: E4M3 or E5M2.
        out: floats of the same shape; written and returned. Times `kind.half_factor` they are the values, exactly.
    """
    halves = codes.view(torch.int8).to(torch.int16).bitwise_left_shift_(_FLOAT16_MANTISSA - kind.mantissa)
    if kind.bias != _FLOAT16_BIAS:
        halves.bitwise_and_(~0x4000)  # the copy of the sign in the highest bit of the exponent, which a narrower exponent leaves free
    return out.copy_(halves.view(torch.float16))


@lru_cache(maxsize=2)
def _decode_table(kind: Fp8Format) -> Tensor:
    codes = torch.arange(128)
    exponent, mantissa = codes >> kind.mantissa, (codes & ((1 << kind.mantissa) - 1)).double()
    normal = torch.ldexp(1 + mantissa / (1 << kind.mantissa), exponent - kind.bias)
    values = torch.where(exponent == 0, mantissa * kind.smallest_subnormal, normal)
    values[kind.highest + 1 :] = torch.nan
    if kind.infinities:
        values[kind.highest + 1] = torch.inf
    return torch.cat([values, -values]).float()

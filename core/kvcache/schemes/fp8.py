"""8-bit floats, E4M3 and E5M2, with a float16 scale for each token and head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from core.kvcache.schemes.per_token import PerTokenLayer
from core.numerics.fp8.codec import E4M3, E5M2, Fp8Format, cast, decode_into

_TARGET = E4M3.largest
"""What a head's largest value is scaled to. E5M2 reaches further, and its scales would then be too small for a float16."""


class Fp8Layer(PerTokenLayer):
    """Codes float8 [2, B, kv heads, t, d], scales float16 [2, B, kv heads, t, 1]."""

    kind: ClassVar[Fp8Format]

    def encode(self, states: Tensor) -> Sequence[Tensor]:
        """Values over scales, cast with saturation, and the scales."""
        largest = torch.linalg.vector_norm(states, torch.inf, -1, keepdim=True, dtype=torch.float32)
        scales = largest.div_(_TARGET).clamp_(2.0**-24, 65504.0 / self.kind.half_factor).half()
        return cast(torch.div(states.float(), scales), self.kind), scales

    def decode(self, parts: Sequence[Tensor], out: Tensor) -> None:
        """Codes times scales."""
        codes, scales = parts
        decode_into(codes, self.kind, out).mul_(scales * self.kind.half_factor)


class Fp8E4M3Layer(Fp8Layer):
    """Four bits of exponent, three of mantissa."""

    kind: ClassVar[Fp8Format] = E4M3


class Fp8E5M2Layer(Fp8Layer):
    """Five bits of exponent, two of mantissa."""

    kind: ClassVar[Fp8Format] = E5M2

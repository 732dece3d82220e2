"""4-bit integers between the smallest and the largest value of each group of channels of a token's head, two to a byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from core.kvcache.catalog.sizes import span
from core.kvcache.schemes.per_token import PerTokenLayer
from core.kvcache.storage.affine import by_channels, quantize_range
from core.kvcache.storage.build import LayerContext
from core.numerics.packed.byte_codes import pack_bytes, unpack_bytes


class Int4Layer(PerTokenLayer):
    """Codes uint8 [2, B, kv heads, t, d / 2], scales and lowest values float16 [2, B, kv heads, t, groups]."""

    bits: ClassVar[int] = 4

    def __init__(self, context: LayerContext) -> None:
        super().__init__(context)
        self._span = span(context.geometry.head_dim, context.settings.group)

    def encode(self, states: Tensor) -> Sequence[Tensor]:
        """Packed codes, and the scale and the lowest value of each group."""
        codes, scales, lowest = quantize_range(by_channels(states, self._span), -1, self.bits)
        return pack_bytes(codes.flatten(-2), self.bits), scales.squeeze(-1), lowest.squeeze(-1)

    def decode(self, parts: Sequence[Tensor], out: Tensor) -> None:
        """Codes times scales, plus the lowest values."""
        packed, scales, lowest = parts
        grouped = by_channels(unpack_bytes(packed, self.bits, out), self._span)
        grouped.mul_(scales.unsqueeze(-1)).add_(lowest.unsqueeze(-1))

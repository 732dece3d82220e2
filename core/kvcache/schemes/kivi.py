"""KIVI (arXiv 2402.02750): keys quantized by channel over groups of tokens, values by token, the newest tokens left as they came.

Keys wait in a residual until it is full and are then quantized as a block; of the values the oldest one of the residual is quantized at each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from core.errors import RequestError
from core.kvcache.catalog.sizes import span
from core.kvcache.storage.affine import by_channels, by_tokens, quantize_range
from core.kvcache.storage.build import LayerContext
from core.kvcache.storage.stored import StoredLayer
from core.numerics.packed.byte_codes import pack_bytes, unpack_bytes
from core.paging.slots import Slots

Parts = tuple[Slots, Slots, Slots]
"""Codes, scales and lowest values."""


class KiviLayer(StoredLayer):
    """Key codes uint8 [B, kv heads, t, d * bits / 8] with scales and lowest values float16 [B, kv heads, t / group, d]; value codes alike with
    scales and lowest values [B, kv heads, t, d / span]; in `extra` the newest keys and values, [2, B, kv heads, residual, d]: token t at slot
    t % residual. Keys may be quantized already."""

    pads: ClassVar[bool] = True
    batch_dim: ClassVar[int] = 0
    extra_batch_dim: ClassVar[int] = 1
    bits: ClassVar[int]

    def __init__(self, context: LayerContext) -> None:
        super().__init__()
        settings = context.settings
        self._scratch, self._residual, self._group = context.scratch, settings.residual, settings.group
        self._span = span(context.geometry.head_dim, settings.group)
        self._keys, self._values = (Slots(), Slots(), Slots()), (Slots(), Slots(), Slots())
        self.stores = (*self._keys, *self._values)

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Look at the quantized tokens, the residual and the new ones; then quantize what the residual has no place for."""
        batch, heads, count, width = keys.shape
        before, after = self.seen, self.seen + count
        if self.extra is None or (not before and (self.extra.shape[1] != batch or self.extra.dtype != keys.dtype)):
            self.extra = keys.new_zeros((2, batch, heads, self._residual, width))
        everything = self._scratch.take((2, batch, heads, after, width), keys)
        for slot, token, length in self._runs(self._values[0].count, before):
            everything.narrow(-2, token, length).copy_(self.extra.narrow(-2, slot, length))
        self._decode_keys(everything[0])
        self._decode_tokens(self._values, everything[1])
        everything[0].narrow(-2, before, count).copy_(keys)
        everything[1].narrow(-2, before, count).copy_(values)
        for slot, token, length in self._runs(max(before, after - self._residual), after):
            self.extra.narrow(-2, slot, length).copy_(everything.narrow(-2, token, length))
        self._quantize(everything, after)
        self.seen = after
        return everything[0], everything[1]

    def forget(self, count: int) -> None:
        """Raises RequestError: what a full residual was quantized to cannot be taken apart again."""
        if count:
            raise RequestError(
                "KIVI does not support rollback, which speculative decoding needs: its keys are quantized in blocks of tokens; use int8 or fp8"
            )

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Slot, token and length of the runs that hold the tokens from `first` to `last`, at most a residual of them."""
        while first < last:
            slot = first % self._residual
            length = min(last - first, self._residual - slot)
            yield slot, first, length
            first += length

    def _encode_keys(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, scales and lowest values of a block [B, kv heads, t, d], by channel."""
        codes, scales, lowest = quantize_range(by_tokens(block, self._group), -2, self.bits)
        return pack_bytes(codes.flatten(-3, -2), self.bits), scales.squeeze(-2), lowest.squeeze(-2)

    def _encode_values(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same by token."""
        codes, scales, lowest = quantize_range(by_channels(block, self._span), -1, self.bits)
        return pack_bytes(codes.flatten(-2), self.bits), scales.squeeze(-1), lowest.squeeze(-1)

    def _decode_keys(self, out: Tensor) -> None:
        """Write the quantized keys to the first slots of `out` [B, kv heads, t, d]."""
        codes, scales, lowest = self._keys
        if codes.count:
            grouped = by_tokens(unpack_bytes(codes.rows, self.bits, out.narrow(-2, 0, codes.count)), self._group)
            grouped.mul_(scales.rows.unsqueeze(-2)).add_(lowest.rows.unsqueeze(-2))

    def _decode_tokens(self, parts: Parts, out: Tensor) -> None:
        """The same for what was quantized by token."""
        codes, scales, lowest = parts
        if codes.count:
            grouped = by_channels(unpack_bytes(codes.rows, self.bits, out.narrow(-2, 0, codes.count)), self._span)
            grouped.mul_(scales.rows.unsqueeze(-1)).add_(lowest.rows.unsqueeze(-1))

    def _quantize(self, everything: Tensor, after: int) -> None:
        """Quantize full blocks of keys, and values older than the residual."""
        done = self._keys[0].count, self._values[0].count
        ready = after // self._residual * self._residual, max(after - self._residual, 0)
        if ready[0] > done[0]:
            block = everything[0].narrow(-2, done[0], ready[0] - done[0])
            _extend(self._keys, self._encode_keys(block))
        if ready[1] > done[1]:
            block = everything[1].narrow(-2, done[1], ready[1] - done[1])
            _extend(self._values, self._encode_values(block))


class Kivi4Layer(KiviLayer):
    """At 4 bits."""

    bits: ClassVar[int] = 4


class Kivi2Layer(KiviLayer):
    """At 2 bits."""

    bits: ClassVar[int] = 2


def _extend(parts: Parts, rows: tuple[Tensor, Tensor, Tensor]) -> None:
    for part, new in zip(parts, rows, strict=True):
        part.append(new)

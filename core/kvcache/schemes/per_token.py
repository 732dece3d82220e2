"""What quantized caches have in common that treat every token by itself: int8, int4, fp8."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from core.kvcache.storage.build import LayerContext
from core.kvcache.storage.stored import StoredLayer
from core.paging.slots import Slots


class PerTokenLayer(StoredLayer):
    """Keys and values as codes and scales, quantized once when they arrive; the history is dequantized at each step into shared memory.

    Since every token has scales of its own, tokens can be taken back and slots stay where they were put.
    """

    is_croppable = True
    pads: ClassVar[bool] = True

    def __init__(self, context: LayerContext) -> None:
        super().__init__()
        self._scratch = context.scratch
        self.stores: tuple[Slots, ...] = ()
        """What `encode` made, [2, B, kv heads, seen, ...]: keys and values together."""

    @abstractmethod
    def encode(self, states: Tensor) -> Sequence[Tensor]:
        """Codes and scales, each [..., n, any], of floats [..., n, d]."""

    @abstractmethod
    def decode(self, parts: Sequence[Tensor], out: Tensor) -> None:
        """Write to `out` [..., n, d] what the parts stand for."""

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize the new tokens; they themselves are still looked at as they came."""
        batch, heads, count, width = keys.shape
        states = torch.stack((keys, values))
        everything = self._scratch.take((2, batch, heads, self.seen + count, width), keys)
        if self.seen:
            self.decode([part.rows for part in self.stores], everything.narrow(-2, 0, self.seen))
        everything.narrow(-2, self.seen, count).copy_(states)
        encoded = self.encode(states)
        self.stores = self.stores or tuple(Slots() for _ in encoded)
        for part, rows in zip(self.stores, encoded, strict=True):
            part.append(rows)
        self.seen += count
        return everything[0], everything[1]

    def forget(self, count: int) -> None:
        """Count back."""
        self.seen -= count
        for part in self.stores:
            part.forget(count)

    def select(self, slots: Tensor, of: int) -> None:
        """Move the kept slots together."""
        self.seen += len(slots) - of
        for part in self.stores:
            part.select(slots, of)

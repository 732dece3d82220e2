"""H2O (arXiv 2306.14048): half the budget for the tokens that have received the most attention so far, half for the newest."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from core.kvcache.storage.attention_mass import attention_mass
from core.kvcache.storage.build import LayerContext
from core.kvcache.storage.choosing import heavy_and_recent, take
from core.kvcache.storage.stored import StoredLayer
from core.paging.slots import Slots


class H2OLayer(StoredLayer):
    """Keys and values [2, B, kv heads, held, d] and in `extra` scores float32 [B, kv heads, held]; each key head keeps tokens of its own.

    After the attention over new tokens what exceeds the budget is evicted: its memory is freed. Positions are those of the text.
    """

    observes: ClassVar[bool] = True

    def __init__(self, context: LayerContext) -> None:
        super().__init__()
        self._budget = context.settings.budget
        self._scratch, self._states = context.scratch, Slots()
        self.stores = (self._states,)

    @property
    def held(self) -> int:
        """The budget, once it is full."""
        return self._states.count

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Behind what is held."""
        self._states.append(torch.stack((keys, values)))
        self.seen += keys.shape[2]
        rows = self._states.rows
        return rows[0], rows[1]

    def observe(self, query: Tensor, keys: Tensor, scaling: float) -> None:
        """Add to each slot's score what it has just received, and evict."""
        received = attention_mass(query, keys, scaling)
        if self.extra is not None:
            received[..., : self.extra.shape[-1]] += self.extra
        self.extra = received
        if self.held > self._budget:
            kept = heavy_and_recent(received, self._budget)
            self.extra = received.gather(-1, kept)
            self._evict(kept)

    def _evict(self, kept: Tensor) -> None:
        """Hold these slots alone, int64 [B, kv heads, budget], in memory for one token more."""
        states = self._states.buffer
        if states.shape[-2] > self._budget + 1:
            self._states.replace(take(states, torch.cat((kept, kept[..., -1:]), dim=-1)))
            self._states.forget(1)
            return
        shape = (*states.shape[:3], self._budget, states.shape[4])
        self._states.rewrite(take(states, kept, self._scratch.take(shape, states)))

    def reset(self) -> None:
        """Count from zero; the memory of keys and values stays."""
        super().reset()
        self.extra = None

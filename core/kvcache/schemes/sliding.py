"""A sliding window: the last `budget` tokens as computed, a query's own among them."""

from __future__ import annotations

import torch
from torch import Tensor

from core.kvcache.storage.build import LayerContext
from core.kvcache.storage.ring import Ring, within
from core.kvcache.storage.stored import StoredLayer


class SlidingLayer(StoredLayer):
    """A ring [2, B, kv heads, window, d]. Positions are those of the text; a single new token is where the oldest was, not last."""

    def __init__(self, context: LayerContext) -> None:
        super().__init__()
        self.window = context.settings.budget
        self._ring = Ring(self.window)
        self.stores = (self._ring,)

    @property
    def held(self) -> int:
        """The window less the place of the next query."""
        return min(self.seen, self.window - 1)

    def looked_at(self, count: int) -> Tensor | None:
        """The window before each token."""
        return within(self.held, count, self.window)

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """One token is written over the oldest; of several the last `window` are kept."""
        states = torch.stack((keys, values))
        if keys.shape[2] == 1:
            self._ring.push(states)
            self.seen += 1
            looked_at = self._ring.rows
            return looked_at[0], looked_at[1]
        looked_at = torch.cat((self._ring.ordered()[..., self._ring.count - self.held :, :], states), dim=-2) if self.held else states
        self._ring.extend(states)
        self.seen += keys.shape[2]
        return looked_at[0], looked_at[1]

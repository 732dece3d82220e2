"""A static cache whose layers are parts of one tensor, so that a step cuts its views of all layers at once."""

from __future__ import annotations

from torch import Tensor

from core.errors import RequestError
from core.runtime.cache import KvCache
from core.runtime.caches.static import StaticKvLayer


class StackedKvCache(KvCache):
    """Static layers side by side.

    Args:
        layers: decoder blocks.
        kv_heads: heads of keys and values.
        head_dim: their width.
        max_tokens: length of the buffers.
        like: gives dtype and device.
    """

    layers: list[StaticKvLayer]  # type: ignore[assignment]

    def __init__(self, layers: int, kv_heads: int, head_dim: int, max_tokens: int, like: Tensor) -> None:
        super().__init__([StaticKvLayer(max_tokens) for _ in range(layers)])
        self._shape = (kv_heads, max_tokens, head_dim)
        self._like = like
        self.buffer = like.new_empty(0)
        """Keys and values of each layer in turn, [2 layers, B, kv heads, max tokens, d]."""

    def make_room(self, batch: int) -> None:
        """Forget everything, and have buffers for `batch` rows."""
        self.reset()
        if self.buffer.dim() == 5 and self.buffer.shape[1] == batch:
            return
        self.buffer = self._like.new_zeros(2 * len(self.layers), batch, *self._shape)
        for layer, keys, values in zip(self.layers, self.buffer[::2], self.buffer[1::2], strict=True):
            layer.keys, layer.values = keys, values

    def take(self, count: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Count `count` tokens as appended.

        Returns:
            Where their keys and values are to be written, [B, kv heads, n, d], and what is filled then: keys and values of each layer in turn.

        Raises:
            RequestError: the buffers are full.
        """
        last = self.advance(count)
        return self.buffer.narrow(3, last - count, count).unbind(), self.buffer.narrow(3, 0, last).unbind()

    def advance(self, count: int) -> int:
        """The same without the views: how many slots are filled then."""
        last = self.layers[0].seen + count
        if last > self._shape[1]:
            raise RequestError(f"the cache holds {self._shape[1]} tokens and {last} are needed: request a longer one")
        for layer in self.layers:
            layer.seen = last
        return last

    def select(self, slots: Tensor, of: int) -> None:
        """Move the kept slots of all layers together."""
        first = self.layers[0].seen - of
        kept = self.buffer.index_select(3, first + slots.to(self.buffer.device))
        self.buffer.narrow(3, first, len(slots)).copy_(kept)
        for layer in self.layers:
            layer.seen = first + len(slots)

"""The static cache: buffers of fixed length that are written in place."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from core.errors import RequestError
from core.runtime.cache import KvLayer


class StaticKvLayer(KvLayer):
    """Keys and values in buffers [B, kv heads, max tokens, d], allocated with the first token.

    Args:
        max_tokens: length of the buffers; more tokens are refused.
    """

    is_croppable = True
    pads: ClassVar[bool] = True

    def __init__(self, max_tokens: int) -> None:
        super().__init__()
        self.max_tokens = max_tokens
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """The whole buffers, full or not."""
        return 0 if self.keys is None or self.values is None else self.keys.nbytes + self.values.nbytes

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write in place; views of what is filled. Raises RequestError when the buffers are full."""
        first, last = self.seen, self.seen + keys.shape[2]
        if last > self.max_tokens:
            raise RequestError(f"the cache holds {self.max_tokens} tokens and {last} are needed: request a longer one")
        if self.keys is None or self.values is None or self.keys.shape[0] != keys.shape[0]:
            self.keys = keys.new_zeros((*keys.shape[:2], self.max_tokens, keys.shape[3]))
            self.values = values.new_zeros((*values.shape[:2], self.max_tokens, values.shape[3]))
        self.keys[:, :, first:last] = keys
        self.values[:, :, first:last] = values
        self.seen = last
        return self.keys[:, :, :last], self.values[:, :, :last]

    def forget(self, count: int) -> None:
        """Count back; what was written is written over."""
        self.seen -= count

    def select(self, slots: Tensor, of: int) -> None:
        """Move the kept slots together."""
        assert self.keys is not None
        assert self.values is not None
        first = self.seen - of
        for buffer in (self.keys, self.values):
            buffer[:, :, first : first + len(slots)] = buffer[:, :, first + slots.to(buffer.device)]
        self.seen = first + len(slots)

    def reset(self) -> None:
        """Count from zero; the buffers stay."""
        self.seen = 0

    def get_max_length(self) -> int:
        """Length of the buffers."""
        return self.max_tokens

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take rows in another order."""
        if self.keys is not None and self.values is not None:
            self.keys = torch.index_select(self.keys, 0, beam_idx)
            self.values = torch.index_select(self.values, 0, beam_idx)

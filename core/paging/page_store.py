"""The memory of a paged KV cache in one decoder block, and where a forward pass writes and reads in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.paging.slots import Scratch


@dataclass(frozen=True)
class PagePlan:
    """Where the new keys and values of one forward pass go, and what its queries look at. The same for every decoder block."""

    write: Tensor
    """int64 [B * kv heads * n]: rows of the store as [blocks * kv heads * block size, d]."""
    gather: Tensor
    """int64 [B * kv heads * blocks a row]: rows of the store as [blocks * kv heads, block size * d]."""
    blocks_a_row: int
    """Of the longest row; shorter ones are filled up with block 0, at which nobody looks."""
    length: int
    """Slots that the longest row looks at."""


class PageStore:
    """Keys and values [blocks, kv heads, block size, d] of one decoder block.

    A row of blocks, block after block and head after head, is gathered with one copy into what attention reads: [B, kv heads, t, d].
    """

    def __init__(self, blocks: int, kv_heads: int, block_size: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> None:
        # Zeros: attention multiplies what is masked by 0, and 0 times what uninitialized memory may hold is not 0.
        self._keys = torch.zeros(blocks, kv_heads, block_size, head_dim, dtype=dtype, device=device)
        self._values = torch.zeros_like(self._keys)

    @property
    def blocks(self) -> int:
        """How many there are."""
        return self._keys.shape[0]

    @property
    def heads(self) -> int:
        """KV heads."""
        return self._keys.shape[1]

    @property
    def block_bytes(self) -> int:
        """Bytes of keys and values of one block."""
        return self.nbytes // max(self.blocks, 1)

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks, used or not."""
        return self._keys.nbytes + self._values.nbytes

    def copy(self, copies: Sequence[tuple[int, int]]) -> None:
        """Copy whole blocks, (from, to) each, in order."""
        for source, target in copies:
            self._keys[target] = self._keys[source]
            self._values[target] = self._values[source]

    def write(self, plan: PagePlan, keys: Tensor, values: Tensor) -> None:
        """Put keys and values [B, kv heads, n, d] in place."""
        width = self._keys.shape[-1]
        for store, states in ((self._keys, keys), (self._values, values)):
            store.view(-1, width).index_copy_(0, plan.write, states.reshape(-1, width))

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy single slots; both int64 [m], rows as of `PagePlan.write`."""
        width = self._keys.shape[-1]
        for store in (self._keys, self._values):
            flat = store.view(-1, width)
            flat.index_copy_(0, target, flat.index_select(0, source))

    def gather(self, plan: PagePlan, batch: int, scratch: Scratch) -> tuple[Tensor, Tensor]:
        """Keys and values [B, kv heads, t, d], in memory that the next call writes over."""
        blocks, heads, size, width = self._keys.shape
        both = scratch.take((2, batch, heads, plan.blocks_a_row * size, width), self._keys)
        for store, out in zip((self._keys, self._values), both, strict=True):
            torch.index_select(store.view(blocks * heads, size * width), 0, plan.gather, out=out.view(-1, size * width))
        return both[0, :, :, : plan.length], both[1, :, :, : plan.length]

    def grow(self, blocks: int) -> None:
        """Add empty blocks; what is there is copied."""
        more = self._keys.new_zeros((blocks, *self._keys.shape[1:]))
        self._keys, self._values = torch.cat((self._keys, more)), torch.cat((self._values, more))


def write_rows(slots: Sequence[Sequence[int]], kv_heads: int, block_size: int, device: torch.device) -> Tensor:
    """Rows of `PagePlan.write` for the slots [B][n] that the pool gave."""
    slot = torch.tensor(slots, dtype=torch.int64).unsqueeze(1)
    rows = slot + slot.div(block_size, rounding_mode="floor") * ((kv_heads - 1) * block_size)
    return (rows + torch.arange(kv_heads).view(1, -1, 1) * block_size).flatten().to(device)


def gather_rows(tables: Sequence[Sequence[int]], kv_heads: int, device: torch.device) -> tuple[Tensor, int]:
    """Rows of `PagePlan.gather` for block tables, and the blocks of the longest."""
    longest = max(len(table) for table in tables)
    blocks = torch.tensor([[*table, *[0] * (longest - len(table))] for table in tables], dtype=torch.int64).unsqueeze(1)
    return (blocks * kv_heads + torch.arange(kv_heads).view(1, -1, 1)).flatten().to(device), longest

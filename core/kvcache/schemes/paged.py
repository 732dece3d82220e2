"""Pages: keys and values in blocks of a pool, found through a table a sequence (PagedAttention, arXiv 2309.06180).

The cache of one batch. A block holds the bits that arrived, and attention reads them in the order and shape of the contiguous cache, so that its
outputs are the same bits. A kernel that reads pages where they are would need no gather; here the pages of one decoder block at a time are gathered
into working memory that all share, which is not a part of the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from core.errors import RequestError
from core.kvcache.storage.build import LayerContext
from core.paging.block_pool import BlockPool
from core.paging.page_store import PagePlan, PageStore, gather_rows, write_rows
from core.runtime.cache import KvLayer


class BatchPages:
    """The block tables of one batch, kept once for all decoder blocks. Rows are equally long; a layer may lag behind the others."""

    def __init__(self, context: LayerContext) -> None:
        self.size, self.max_tokens = context.settings.block, context.max_tokens
        self.pool = BlockPool(0, self.size, sharing=False)
        self.copies: list[tuple[int, int]] = []
        """Every copy of a block so far; each layer carries out those that it has not."""
        self._device = context.device
        self._rows: list[int] = []
        self._next_id = 0
        self._lengths: dict[int, int] = {}
        """Tokens of each layer, by its index."""
        self._plans: dict[tuple[int, int, int], PagePlan] = {}
        self._gather: dict[int, tuple[Tensor, int]] = {}
        """By the number of KV heads, which is the same for all decoder blocks of most models."""

    @property
    def length(self) -> int:
        """Tokens that the tables have room for."""
        return self.pool.length(self._rows[0]) if self._rows else 0

    @property
    def index_bytes(self) -> int:
        """Bytes of the table as attention reads it."""
        return sum(rows.nbytes for rows, _ in self._gather.values())

    def plan(self, layer: int, first: int, count: int, batch: int, heads: int) -> PagePlan:
        """Where a layer with `first` tokens writes `count` more, and reads."""
        last = first + count
        if last > self.max_tokens:
            raise RequestError(f"the cache holds {self.max_tokens} tokens and {last} are needed: request a longer one")
        if len(self._rows) != batch:
            self._begin(batch)
        self._lengths[layer] = last
        if last > self.length:
            self._extend(last - self.length)
        key = (first, count, heads)
        if key not in self._plans:
            gather, blocks = self._table(heads)
            self._plans[key] = PagePlan(self.rows_of(range(first, last), heads), gather, blocks, last)
        return self._plans[key]

    def rows_of(self, positions: Iterable[int], heads: int) -> Tensor:
        """Rows of the store, as `PagePlan.write`, of the tokens at these positions."""
        places = [divmod(position, self.size) for position in positions]
        tables = [self.pool.table(row) for row in self._rows]
        slots = [[table[block] * self.size + place for block, place in places] for table in tables]
        return write_rows(slots, heads, self.size, self._device)

    def cut(self, layer: int, length: int) -> None:
        """A layer has only so many tokens left; blocks that no layer needs are given back."""
        self._lengths[layer] = length
        surplus = self.length - max(self._lengths.values())
        if surplus > 0:
            for row in self._rows:
                self.pool.truncate(row, surplus)
            self._changed()

    def reorder(self, chosen: list[int]) -> None:
        """Row b continues as row `chosen[b]`: blocks are shared until they are written."""
        before, self._rows = self._rows, [self._name() for _ in chosen]
        for row, source in zip(self._rows, chosen, strict=True):
            self.pool.fork(before[source], row)
        for row in before:
            self.pool.free(row)
        self._changed()

    def _begin(self, batch: int) -> None:
        for row in self._rows:
            self.pool.free(row)
        self._rows = []
        self._lengths = dict.fromkeys(self._lengths, 0)
        self._changed()
        self.pool.grow(max(batch * -(-self.max_tokens // self.size) - self.pool.blocks, 0))
        self._rows = [self._name() for _ in range(batch)]
        for row in self._rows:
            self.pool.open(row)

    def _extend(self, count: int) -> None:
        blocks, copied = len(self.pool.table(self._rows[0])), len(self.copies)
        for row in self._rows:
            self.copies += self.pool.append(row, range(count)).copies
        self._plans.clear()
        if len(self.pool.table(self._rows[0])) != blocks or len(self.copies) != copied:
            self._gather.clear()

    def _table(self, heads: int) -> tuple[Tensor, int]:
        if heads not in self._gather:
            self._gather[heads] = gather_rows([self.pool.table(row) for row in self._rows], heads, self._device)
        return self._gather[heads]

    def _changed(self) -> None:
        self._plans.clear()
        self._gather.clear()

    def _name(self) -> int:
        self._next_id += 1
        return self._next_id


class PagedLayer(KvLayer):
    """One decoder block's pages. Tokens can be taken back, slots stay where they were put, and beams share blocks."""

    is_croppable = True
    pads: ClassVar[bool] = True

    def __init__(self, context: LayerContext) -> None:
        super().__init__()
        self._index, self._scratch = context.index, context.scratch
        self.pages = context.scratch.shared("pages", lambda: BatchPages(context))
        self._store: PageStore | None = None
        self._copied = 0

    @property
    def nbytes(self) -> int:
        """Of the blocks in use, and with the first layer of the block table; the rest of the pool is `reserved`."""
        table = self.pages.index_bytes if self._index == 0 else 0
        return 0 if self._store is None else self.pages.pool.used_blocks * self._store.block_bytes + table

    @property
    def reserved(self) -> int:
        """Bytes of the pool as it is allocated."""
        return 0 if self._store is None else self._store.nbytes

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write in place, gather. Raises RequestError when there is no room."""
        batch, heads, count, width = keys.shape
        plan = self.pages.plan(self._index, self.seen, count, batch, heads)
        pool = self.pages.pool
        if self._store is None:
            self._store = PageStore(pool.blocks, heads, self.pages.size, width, keys.dtype, keys.device)
            self._copied = len(self.pages.copies)
        elif self._store.blocks < pool.blocks:
            self._store.grow(pool.blocks - self._store.blocks)
        self._store.copy(self.pages.copies[self._copied :])
        self._copied = len(self.pages.copies)
        self._store.write(plan, keys, values)
        self.seen += count
        return self._store.gather(plan, batch, self._scratch)

    def forget(self, count: int) -> None:
        """Give back the blocks that are no longer needed."""
        self.seen -= count
        self.pages.cut(self._index, self.seen)

    def select(self, slots: Tensor, of: int) -> None:
        """Move the kept slots together."""
        assert self._store is not None
        first, kept, heads = self.seen - of, slots.tolist(), self._store.heads
        to = range(first, first + len(kept))
        self._store.move(self.pages.rows_of([first + slot for slot in kept], heads), self.pages.rows_of(to, heads))
        self.seen = to.stop
        self.pages.cut(self._index, self.seen)

    def reset(self) -> None:
        """Give all blocks back; the pool's memory stays."""
        self.seen = 0
        self.pages.cut(self._index, 0)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take rows in another order; done once for all layers, by the first."""
        if self._index == 0 and self.seen:
            self.pages.reorder(torch.as_tensor(beam_idx).tolist())

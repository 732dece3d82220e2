"""One forward pass over several sequences of different lengths, as a scheduler that batches continuously makes it.

Two memories with the same interface: pages of a pool, and contiguous rows that are allocated in full length. Both give attention the same values in
the same shapes, so that, fed alike, their logits are the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from core.models.kv_geometry import Geometry
from core.paging.block_pool import Writes
from core.paging.page_store import PagePlan, PageStore, gather_rows, write_rows
from core.paging.slots import Scratch
from core.runtime.cache import KvCache, KvLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Memory(Protocol):
    """Keys and values of several sequences."""

    cache: KvCache

    @property
    def nbytes(self) -> int:
        """Of everything that is allocated."""


class _Layer(KvLayer):
    """What the two kinds of layers do not need: one length for all rows."""

    @property
    def held(self) -> int:
        """The rows' own lengths count."""
        return 0

    def reset(self) -> None:
        """Nothing is forgotten here."""


class _PagesLayer(_Layer):
    pads: ClassVar[bool] = True

    def __init__(self, store: PageStore, pages: Pages) -> None:
        super().__init__()
        self.store, self._pages = store, pages

    @property
    def nbytes(self) -> int:
        """Of the whole pool."""
        return self.store.nbytes

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write and gather as planned."""
        plan = self._pages.plan
        assert plan is not None
        self.store.copy(self._pages.copies)
        self.store.write(plan, keys, values)
        return self.store.gather(plan, keys.shape[0], self._pages.scratch)


class Pages:
    """Memory in blocks; the pool says which.

    Args:
        geometry: of the model.
        blocks: how many there are.
        block_size: tokens of each.
        dtype: of keys and values.
        device: where they are.
    """

    def __init__(self, geometry: Geometry, blocks: int, block_size: int, dtype: torch.dtype, device: torch.device) -> None:
        self._heads, self._size, self._device = geometry.kv_heads, block_size, device
        self.scratch = Scratch()
        self.plan: PagePlan | None = None
        self.copies: list[tuple[int, int]] = []
        stores = [PageStore(blocks, geometry.kv_heads, block_size, geometry.head_dim, dtype, device) for _ in range(geometry.layers)]
        self.cache = KvCache([_PagesLayer(store, self) for store in stores])

    @property
    def nbytes(self) -> int:
        """Of the whole pool."""
        return self.cache.nbytes

    def prepare(self, writes: Sequence[Writes], tables: Sequence[Sequence[int]], lengths: Sequence[int]) -> None:
        """Say where the next forward pass writes and reads: row b has the table `tables[b]` and `lengths[b]` tokens with the new ones."""
        self.copies = [copy for each in writes for copy in each.copies]
        gather, blocks = gather_rows(tables, self._heads, self._device)
        rows = write_rows([each.slots for each in writes], self._heads, self._size, self._device)
        self.plan = PagePlan(rows, gather, blocks, max(lengths))


class _RowsLayer(_Layer):
    pads: ClassVar[bool] = True

    def __init__(self, shape: tuple[int, int, int, int], rows: Rows, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self._rows = rows
        self.both = torch.zeros(2, *shape, dtype=dtype, device=device)

    @property
    def nbytes(self) -> int:
        """Of all rows, full or not."""
        return self.both.nbytes

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write behind each row's tokens; what the chosen rows hold."""
        rows, positions = self._rows.chosen, self._rows.positions
        for both, states in zip(self.both, (keys, values), strict=True):
            both[rows[:, None], :, positions] = states.transpose(1, 2)
        found = [both.index_select(0, rows)[:, :, : self._rows.length] for both in self.both]
        return found[0], found[1]


class Rows:
    """Contiguous memory: `count` rows of `max_tokens` each; arguments otherwise as of `Pages`."""

    def __init__(self, geometry: Geometry, count: int, max_tokens: int, dtype: torch.dtype, device: torch.device) -> None:
        self.chosen = self.positions = torch.zeros(0, dtype=torch.int64)
        self.length = 0
        self._device = device
        shape = (count, geometry.kv_heads, max_tokens, geometry.head_dim)
        self._layers = [_RowsLayer(shape, self, dtype, device) for _ in range(geometry.layers)]
        self.cache = KvCache(self._layers)

    @property
    def nbytes(self) -> int:
        """Of all rows."""
        return self.cache.nbytes

    def prepare(self, rows: Sequence[int], first: Sequence[int], count: int) -> None:
        """Say where the next forward pass writes: `count` tokens in row `rows[b]` from `first[b]` on."""
        self.chosen = torch.tensor(rows, device=self._device)
        self.positions = torch.tensor(first, device=self._device)[:, None] + torch.arange(count, device=self._device)
        self.length = max(first) + count

    def copy(self, source: int, target: int) -> None:
        """Copy a whole row."""
        for layer in self._layers:
            layer.both[:, target] = layer.both[:, source]


@torch.inference_mode()
def forward(model: PreTrainedModel, memory: Memory, tokens: Tensor, first: Sequence[int]) -> Tensor:
    """Append tokens int64 [B, n] to sequences with `first[b]` tokens each; logits float [B, V] of what follows.

    The memory was prepared for them.
    """
    positions = torch.tensor(first, device=tokens.device)[:, None] + torch.arange(tokens.shape[1], device=tokens.device)
    slots = torch.arange(max(first) + tokens.shape[1], device=tokens.device)
    hidden = slots > positions[:, :, None]
    mask = torch.zeros(hidden.shape, dtype=model.dtype, device=tokens.device).masked_fill_(hidden, torch.finfo(model.dtype).min)
    model_: Any = model
    answer = model_(
        input_ids=tokens, position_ids=positions, attention_mask=mask[:, None], past_key_values=memory.cache, use_cache=True, logits_to_keep=1
    )
    logits: Tensor = answer.logits[:, -1]
    return logits

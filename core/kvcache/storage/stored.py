"""A layer whose history lies in slots or rings, so that its bytes, its reset and the order of its rows follow from them."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from core.kvcache.storage.ring import Ring
from core.paging.slots import Slots
from core.runtime.cache import KvLayer


class StoredLayer(KvLayer):
    """Sets `stores`, and `extra` where it keeps one more tensor."""

    batch_dim: ClassVar[int] = 1
    """Dimension of the stores that counts the rows of the batch."""
    extra_batch_dim: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.stores: tuple[Slots | Ring, ...] = ()
        self.extra: Tensor | None = None
        """Scores, queries or a residual: all of it counts."""

    @property
    def nbytes(self) -> int:
        """Of the slots in use, and all of `extra`."""
        return sum(store.nbytes for store in self.stores) + self._extra_bytes

    @property
    def reserved(self) -> int:
        """Bytes of the buffers as they are allocated."""
        return sum(store.reserved for store in self.stores) + self._extra_bytes

    @property
    def _extra_bytes(self) -> int:
        return 0 if self.extra is None else self.extra.nbytes

    def reset(self) -> None:
        """Count from zero; the memory of the stores stays."""
        self.seen = 0
        for store in self.stores:
            store.clear()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take rows in another order."""
        for store in self.stores:
            store.reorder(beam_idx, self.batch_dim)
        if self.extra is not None:
            self.extra = self.extra.index_select(self.extra_batch_dim, beam_idx)

"""Memory of cache layers: rows of slots that grow in strides, and the working memory that the layers of a cache share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")

STRIDE = 256
"""Slots that a buffer grows by when the text continues: what it holds is copied once in so many tokens."""


class Slots:
    """A tensor [..., slots, width] that grows along its second last dimension, `stride` slots at a time."""

    def __init__(self, stride: int = STRIDE) -> None:
        self._stride = stride
        self._buffer: Tensor | None = None
        self.count = 0
        """Slots in use."""

    @property
    def rows(self) -> Tensor:
        """View [..., count, width] of what is in use."""
        return self.buffer.narrow(-2, 0, self.count)

    @property
    def buffer(self) -> Tensor:
        """All of it [..., slots, width], contiguous; only the first `count` slots mean anything."""
        assert self._buffer is not None, "nothing was appended"
        return self._buffer

    @property
    def nbytes(self) -> int:
        """Of the slots in use."""
        return 0 if self._buffer is None else self._buffer.narrow(-2, 0, self.count).nbytes

    @property
    def reserved(self) -> int:
        """Of the buffer as it is allocated."""
        return 0 if self._buffer is None else self._buffer.nbytes

    def append(self, rows: Tensor) -> None:
        """Put [..., n, width] behind what is there; another batch than before drops the (then empty) buffer."""
        count = rows.shape[-2]
        last = self.count + count
        buffer = self._buffer
        if buffer is None or last > buffer.shape[-2] or (not self.count and not _fits(buffer, rows)):
            buffer = self._grow(rows, last)
        buffer.narrow(-2, self.count, count).copy_(rows)
        self.count = last

    def forget(self, count: int) -> None:
        """Take back the last `count` slots."""
        self.count -= count

    def select(self, slots: Tensor, of: int) -> None:
        """Of the last `of` slots keep these, int64 [k] ascending."""
        first = self.count - of
        self.buffer.narrow(-2, first, len(slots)).copy_(self.buffer.index_select(-2, first + slots.to(self.buffer.device)))
        self.count = first + len(slots)

    def replace(self, rows: Tensor) -> None:
        """Hold these instead, in memory of just their size; the old memory is freed."""
        self._buffer, self.count = rows, rows.shape[-2]

    def rewrite(self, rows: Tensor) -> None:
        """Hold these instead, in the memory that is there."""
        self.count = rows.shape[-2]
        self.rows.copy_(rows)

    def reorder(self, index: Tensor, dim: int) -> None:
        """Take the entries of dimension `dim` in another order."""
        if self._buffer is not None:
            self._buffer = self._buffer.index_select(dim, index.to(self._buffer.device))

    def clear(self) -> None:
        """Count from zero; the memory stays."""
        self.count = 0

    def _grow(self, rows: Tensor, last: int) -> Tensor:
        longer = rows.new_empty((*rows.shape[:-2], -(-last // self._stride) * self._stride, rows.shape[-1]))
        if self._buffer is not None and self.count:
            longer.narrow(-2, 0, self.count).copy_(self.rows)
        self._buffer = longer
        return longer


class Scratch:
    """What the layers of a cache share: working memory for what one layer's queries look at, as layers run one after another, and constants."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._constants: dict[str, Tensor] = {}
        self._objects: dict[str, object] = {}

    @property
    def nbytes(self) -> int:
        """Of buffer and constants as they are allocated."""
        return (0 if self._buffer is None else self._buffer.nbytes) + sum(constant.nbytes for constant in self._constants.values())

    def take(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uninitialized memory of this shape, of the dtype and on the device of `like`; the next call gives the same memory again."""
        count, buffer = prod(shape), self._buffer
        if buffer is None or buffer.numel() < count or buffer.dtype != like.dtype or buffer.device != like.device:
            buffer = self._buffer = torch.empty(count + count // 4, dtype=like.dtype, device=like.device)
        return buffer[:count].view(shape)

    def constant(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """A tensor that all layers read, made by the first that asks."""
        if name not in self._constants:
            self._constants[name] = make()
        return self._constants[name]

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """An object that all layers share, made by the first that asks."""
        if name not in self._objects:
            self._objects[name] = make()
        return cast(T, self._objects[name])


def _fits(buffer: Tensor, rows: Tensor) -> bool:
    return buffer.shape[:-2] == rows.shape[:-2] and buffer.shape[-1] == rows.shape[-1] and buffer.dtype == rows.dtype

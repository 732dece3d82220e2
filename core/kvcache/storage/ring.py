"""The last tokens of a text: a ring in which a new one is written over the oldest, so that a step moves nothing, and the mask of such a window."""

from __future__ import annotations

import torch
from torch import Tensor

from core.paging.slots import STRIDE, Slots


class Ring:
    """The last `size` entries of a sequence, [..., slots, width]; the memory grows with the sequence until it has that many slots.

    Args:
        size: entries, 1 or more.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._slots = Slots(min(STRIDE, size))
        self.start = 0
        """Slot of the oldest entry; entries follow it around the ring."""

    @property
    def count(self) -> int:
        """Entries held."""
        return self._slots.count

    @property
    def rows(self) -> Tensor:
        """View [..., count, width], in the order of the slots."""
        return self._slots.rows

    @property
    def nbytes(self) -> int:
        """Of the entries held."""
        return self._slots.nbytes

    @property
    def reserved(self) -> int:
        """Of the memory as it is allocated."""
        return self._slots.reserved

    def push(self, row: Tensor) -> int:
        """Take one entry [..., 1, width], over the oldest when the ring is full; its slot."""
        if self.count < self.size:
            self._slots.append(row)
            return self.count - 1
        slot = self.start
        self._slots.rows.narrow(-2, slot, 1).copy_(row)
        self.start = (slot + 1) % self.size
        return slot

    def ordered(self) -> Tensor:
        """The entries from the oldest to the newest; a view while the ring starts at its first slot."""
        rows = self._slots.rows
        return rows if not self.start else torch.cat((rows[..., self.start :, :], rows[..., : self.start, :]), dim=-2)

    def extend(self, rows: Tensor) -> None:
        """Take many entries [..., n, width] at once."""
        if self.count + rows.shape[-2] <= self.size:
            self._slots.append(rows)
            return
        kept = self.size - rows.shape[-2]
        if kept > 0:
            rows = torch.cat((self.ordered()[..., self.count - kept :, :], rows), dim=-2)
        self._slots.replace(rows[..., -self.size :, :].clone())
        self.start = 0

    def clear(self) -> None:
        """Count from zero; the memory stays."""
        self._slots.clear()
        self.start = 0

    def reorder(self, index: Tensor, dim: int) -> None:
        """Take the entries of dimension `dim` in another order."""
        self._slots.reorder(index, dim)


def within(held: int, count: int, window: int, sinks: int = 0) -> Tensor | None:
    """What each of `count` tokens behind `held` slots looks at.

    Args:
        held: slots before them.
        count: new tokens.
        window: last tokens that each looks at, itself counted.
        sinks: first slots that all look at.

    Returns:
        Bool [count, held + count]; None when that is all before each.
    """
    if held + count <= window + sinks:
        return None
    slots = torch.arange(held + count)
    distance = torch.arange(held, held + count)[:, None] - slots
    return (distance >= 0) & ((distance < window) | (slots < sinks))

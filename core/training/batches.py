"""What a training step learns from, and which windows of text it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One optimizer step's examples, or those of one of its micro-batches."""

    tokens: Tensor
    """int64 [rows, ...]."""
    mask: Tensor | None = None
    """bool [rows, ...]: the predictions that count; None: as many as there are tokens, all of them."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """What else the objective needs, each [rows, ...]: a teacher's logits, weights of examples."""

    @property
    def count(self) -> int:
        """Predictions that count."""
        return self.tokens.numel() if self.mask is None else int(self.mask.sum())

    def split(self, rows: int | None) -> Iterator[Batch]:
        """In micro-batches of so many rows, the last one perhaps smaller; None: as one."""
        if rows is None or rows >= len(self.tokens):
            yield self
            return
        for first in range(0, len(self.tokens), rows):
            yield self._each(lambda tensor, part=slice(first, first + rows): tensor[part])  # type: ignore[misc]

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        mask = None if self.mask is None else change(self.mask)
        return Batch(change(self.tokens), mask, {name: change(tensor) for name, tensor in self.extras.items()})


Batches = Callable[[int], Batch]
"""From the number of a step, from 0, to its batch: a function of the step alone, so that a resumed training sees the same."""


def window_batches(windows: Tensor, rows: int, seed: int, mask: Tensor | None = None) -> Batches:
    """Windows int64 [rows, T] of a step. Every window is drawn once before any is drawn again.

    Args:
        windows: int64 [N, T].
        rows: windows of a step; no more than N are taken.
        seed: of the order.
        mask: bool [N, T]: the predictions that count; None: all.
    """
    count = len(windows)
    rows = min(rows, count)

    def batch(step: int) -> Batch:
        places = range(step * rows, (step + 1) * rows)
        orders = {
            epoch: torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)) for epoch in {place // count for place in places}
        }
        drawn = torch.stack([orders[place // count][place % count] for place in places])
        return Batch(windows[drawn], None if mask is None else mask[drawn])

    return batch

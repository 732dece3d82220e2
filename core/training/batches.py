"""Which windows of text a training step sees."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def batches(windows: Tensor, rows: int, seed: int) -> Callable[[int], Tensor]:
    """From the number of a step to its windows int64 [rows, T]. Every window is drawn once before any is drawn again.

    Args:
        windows: int64 [N, T].
        rows: windows of a step; no more than N are taken.
        seed: of the order.
    """
    count = len(windows)
    rows = min(rows, count)

    def batch(step: int) -> Tensor:
        places = range(step * rows, (step + 1) * rows)
        orders = {
            epoch: torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)) for epoch in {place // count for place in places}
        }
        return windows[torch.stack([orders[place // count][place % count] for place in places])]

    return batch

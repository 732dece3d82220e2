"""Every window of a training text is drawn once before any is drawn again, in an order of the seed."""

from __future__ import annotations

from collections import Counter

import torch

from core.training.batches import batches


def test_every_window_is_seen_once_an_epoch() -> None:
    windows = torch.arange(10).view(10, 1)
    draw = batches(windows, 4, seed=0)
    seen = Counter(int(token) for step in range(5) for token in draw(step))
    assert set(seen.values()) == {2}
    assert torch.equal(draw(3), batches(windows, 4, seed=0)(3))
    assert not torch.equal(torch.cat([draw(step) for step in range(2)]), torch.cat([batches(windows, 4, seed=1)(step) for step in range(2)]))
    assert len(batches(windows, 64, seed=0)(0)) == 10

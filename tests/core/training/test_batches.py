"""Every window of a training text is drawn once before any is drawn again, in an order of the seed."""

from __future__ import annotations

from collections import Counter

import torch

from core.training.batches import Batch, window_batches


def test_every_window_is_seen_once_an_epoch() -> None:
    windows = torch.arange(10).view(10, 1)
    draw = window_batches(windows, 4, seed=0)
    seen = Counter(int(token) for step in range(5) for token in draw(step).tokens)
    assert set(seen.values()) == {2}
    assert torch.equal(draw(3).tokens, window_batches(windows, 4, seed=0)(3).tokens)
    other = window_batches(windows, 4, seed=1)
    assert not torch.equal(torch.cat([draw(step).tokens for step in range(2)]), torch.cat([other(step).tokens for step in range(2)]))
    assert len(window_batches(windows, 64, seed=0)(0).tokens) == 10


def test_a_batch_is_split_with_all_that_belongs_to_its_rows() -> None:
    batch = Batch(torch.arange(20).view(5, 4), torch.arange(20).view(5, 4) % 3 == 0, {"teacher": torch.arange(5.0)})
    parts = list(batch.split(2))
    assert [len(part.tokens) for part in parts] == [2, 2, 1]
    assert sum(part.count for part in parts) == batch.count == 7
    for part, first in zip(parts, (0, 2, 4), strict=True):
        assert part.mask is not None
        assert torch.equal(part.tokens, batch.tokens[first : first + 2])
        assert torch.equal(part.extras["teacher"], batch.extras["teacher"][first : first + 2])
    assert list(batch.split(None)) == list(batch.split(5)) == [batch]
    assert Batch(batch.tokens).count == 20


def test_a_batch_moves_with_all_its_tensors() -> None:
    batch = Batch(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), {"a": torch.zeros(1)}).to("meta")
    assert batch.mask is not None
    assert {batch.tokens.device.type, batch.mask.device.type, batch.extras["a"].device.type} == {"meta"}

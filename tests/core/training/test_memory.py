"""What training holds grows with each of its parts, and a step takes as many windows as fit."""

from __future__ import annotations

from core.training.memory import LOGITS_AT_ONCE, TOKENS_AT_ONCE, rows_at_once, training_bytes


def test_memory_grows_with_each_of_its_parts() -> None:
    parts = {"trained": 10**6, "other": 10**5, "hidden": 64, "blocks": 4, "vocabulary": 1000, "tokens": 2048}
    base = training_bytes(**parts)
    assert base > 16 * 10**6
    for name in parts:
        assert training_bytes(**parts | {name: 2 * parts[name]}) > base
    assert training_bytes(**parts, extra=6) == base + 6 * 10**6


def test_windows_of_a_step_fit_its_tokens_and_logits() -> None:
    assert rows_at_once(512, 4096) == TOKENS_AT_ONCE // 512
    assert rows_at_once(512, 128_000) == LOGITS_AT_ONCE // 128_000 // 512
    assert rows_at_once(10**6, 32_000) == 1

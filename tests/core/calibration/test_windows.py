"""Calibration windows come from all over the text, never overlap, and are the same for the same seed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from core.calibration.windows import calibration_windows
from core.errors import RequestError
from core.models.stream.streaming import load_tokenizer
from core.text import Corpus

LONG = Corpus("long", "\n".join(f"line number {index} says {index * index}" for index in range(4000)))


def test_windows_are_repeatable_and_depend_on_the_seed(tiny_llama_dir: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama_dir)
    first, again, other = (calibration_windows(LONG, tokenizer, 8, 32, seed) for seed in (0, 0, 1))
    assert first.shape == (8, 32)
    assert first.equal(again)
    assert not first.equal(other)


def test_windows_of_a_long_text_do_not_overlap(tiny_llama_dir: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama_dir)
    windows = calibration_windows(LONG, tokenizer, 20, 32, 0)
    places = sorted(LONG.text.index(tokenizer.decode(window[1:])) for window in windows)  # type: ignore[arg-type]
    assert all(later - earlier >= 31 for earlier, later in itertools.pairwise(places))


def test_a_short_text_gives_what_it_has(tiny_llama_dir: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama_dir)
    windows = calibration_windows(Corpus("short", "a" * 100), tokenizer, 64, 32, 0)
    assert windows.shape == (3, 32)


def test_a_text_that_fills_no_window_is_refused(tiny_llama_dir: Path) -> None:
    with pytest.raises(RequestError, match="one sample needs 32"):
        calibration_windows(Corpus("tiny\x1b[2J", "abc"), load_tokenizer(tiny_llama_dir), 4, 32, 0)

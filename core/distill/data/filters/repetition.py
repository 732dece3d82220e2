"""Answers in which a teacher fell into a loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.distill.data.filters.example import Example
from core.distill.data.filters.units import units

_LONGEST_PERIOD = 64
_COPIES = 4
_LEAST = 30
"""Units that a loop has at least: "no, no, no, no" is emphasis."""
_N = 5


def is_free_of_loops(example: Example) -> bool:
    """Whether no stretch of the answer repeats the same 1 to 64 words four times over or more, over 30 words at least (characters in Chinese)."""
    return not has_loop(units(example.answer))


def has_loop(parts: Sequence[str]) -> bool:
    """Whether units i and i + p are equal over a stretch that makes at least four copies of p units and 30 units in all, for a p up to 64."""
    count = len(parts)
    if count < _LEAST:
        return False
    # A loop of R >= max(4p, 30) units has R - 4 5-grams, at most p different ones: at least 18 repetitions.
    grams = count - _N + 1
    if grams - len(set(zip(*(parts[start:] for start in range(_N)), strict=False))) < 3 * _LEAST // 4 - _N + 1:
        return False
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    ids = np.array([numbers[part] for part in parts])
    for period in range(1, min(_LONGEST_PERIOD, count // _COPIES) + 1):
        if _longest_run(ids[period:] == ids[:-period]) + period >= max(_COPIES * period, _LEAST):
            return True
    return False


def _longest_run(equal: np.ndarray) -> int:
    """Longest stretch of True of bool [n]."""
    breaks = np.flatnonzero(~equal)
    ends = np.concatenate(([-1], breaks, [len(equal)]))
    return int(np.diff(ends).max()) - 1

"""Examples that repeat a stretch of held-out text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.distill.data.filters.example import Example, Filter
from core.distill.data.filters.shingles import Shingles, shingles

N = 13
_TEMPLATE = 10
"""Examples in which an n-gram may be: one in more of them is a template, and says nothing."""


def apart_from(prompts: Iterable[str], texts: Iterable[str]) -> Filter:
    """A filter that removes examples of which a run of 13 units (words; characters in Chinese) is in a held-out prompt or text.

    As GPT-3's data were cleaned (arXiv 2005.14165, appendix C): 13-grams that more than ten examples share do not count. A prompt that is shorter
    counts as a whole; other short texts do not, as many tasks have the answer "yes".
    """
    found = [*(shingles(prompt, N) for prompt in prompts), *(shingles(text, N, short=False) for text in texts)]
    kept_out = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)

    def stays(examples: Sequence[Example]) -> list[bool]:
        shared = [_shared(example, kept_out) for example in examples]
        grams, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *shared]), return_counts=True)
        telling = grams[counts <= _TEMPLATE]
        return [not _among(each, telling).any() for each in shared]

    return stays


def _shared(example: Example, kept_out: Shingles) -> Shingles:
    grams = np.union1d(shingles(example.prompt, N), shingles(example.answer, N, short=False))
    found: Shingles = grams[_among(grams, kept_out)]
    return found


def _among(grams: Shingles, sorted_set: Shingles) -> NDArray[np.bool_]:
    """Which grams are in a sorted set, bool [n]."""
    if not len(sorted_set):
        return np.zeros(len(grams), bool)
    places = np.minimum(np.searchsorted(sorted_set, grams), len(sorted_set) - 1)
    found: NDArray[np.bool_] = sorted_set[places] == grams
    return found

"""Examples that say nearly the same as an earlier one: Jaccard similarity of their 5-grams, candidates found by MinHash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.distill.data.filters.example import Example, Filter
from core.distill.data.filters.shingles import Shingles, mixed, shingles

N = 5
_HASHES, _SEED = 128, 20240229
_MISSED = 1e-6
"""Chance at most that a pair at the threshold is not looked at."""


def unlike_earlier(threshold: float) -> Filter:
    """A filter that removes an example whose Jaccard similarity to one that was kept before is at least the threshold.

    Candidates share a band of MinHash values (Broder 1997; banding as in Leskovec et al., Mining of Massive Datasets, 3.4); each is verified on its
    exact sets, so that nothing unlike is removed; a pair at the threshold is missed with a chance below one in a million.
    """
    return lambda examples: _stays([shingles(_text(example), N) for example in examples], threshold)


def jaccard(one: Shingles, other: Shingles) -> float:
    """Size of the intersection over that of the union; two empty sets are equal."""
    if not len(one) and not len(other):
        return 1.0
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def bands_for(threshold: float) -> tuple[int, int]:
    """Bands and rows per band, of at most 128 hashes: the most rows with which a pair at the threshold shares a band but for one in a million."""
    for rows in range(16, 1, -1):
        bands = _HASHES // rows
        if (1 - threshold**rows) ** bands <= _MISSED:
            return bands, rows
    return _HASHES, 1


def _stays(sets: Sequence[Shingles], threshold: float) -> list[bool]:
    bands, rows = bands_for(threshold)
    generator = np.random.default_rng(_SEED)
    salts = generator.integers(0, 2**64, size=bands * rows, dtype=np.uint64)
    kept: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(bands)]
    stays = []
    for index, found in enumerate(sets):
        signature = _signature(found, salts).reshape(bands, rows)
        places = [row.tobytes() for row in signature]
        candidates = dict.fromkeys(other for band, place in zip(kept, places, strict=True) for other in band.get(place, ()))
        alike = any(_may_reach(found, sets[other], threshold) and jaccard(found, sets[other]) >= threshold for other in candidates)
        stays.append(not alike)
        if not alike:
            for band, place in zip(kept, places, strict=True):
                band[place].append(index)
    return stays


def _may_reach(one: Shingles, other: Shingles, threshold: float) -> bool:
    """Whether sets of these sizes can be so similar."""
    return min(len(one), len(other)) >= threshold * max(len(one), len(other))


def _signature(found: Shingles, salts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """uint64 [k]: for each salt the least mixed hash; of an empty set all are the largest."""
    if not len(found):
        return np.full(len(salts), np.iinfo(np.uint64).max)
    return np.asarray(mixed(found[None, :] ^ salts[:, None]).min(axis=1), np.uint64)


def _text(example: Example) -> str:
    return f"{example.prompt}\n{example.answer}"

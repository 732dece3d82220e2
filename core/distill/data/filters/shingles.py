"""Texts as sets of hashed n-grams, to be compared by the thousand."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from core.distill.data.filters.units import units

Shingles = NDArray[np.uint64]
"""uint64 [n], sorted and different: hashes of the n-grams of a text."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_KNOWN: dict[str, int] = {}
_MOST_KNOWN = 1 << 20


def shingles(text: str, n: int, *, short: bool = True) -> Shingles:
    """64-bit hashes of every run of n units (words; characters in Chinese).

    Args:
        text: any.
        n: units of a run.
        short: whether a text of fewer units counts as one run; else it has none.
    """
    parts = units(text)
    if not parts or (len(parts) < n and not short):
        return np.empty(0, np.uint64)
    hashes = np.array([_hash_of(part) for part in parts], np.uint64)
    n = min(n, len(hashes))
    found = np.zeros(len(hashes) - n + 1, np.uint64)
    for place in range(n):
        found = mixed(found * _STEP + hashes[place : len(hashes) - n + 1 + place])
    return np.unique(found)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele et al. 2014): a bijection of 64-bit numbers that leaves no pattern."""
    values = values + _STEP
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hash_of(unit: str) -> int:
    found = _KNOWN.get(unit)
    if found is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        found = _KNOWN[unit] = int.from_bytes(hashlib.blake2b(unit.encode(errors="replace"), digest_size=8).digest(), "little")
    return found

"""Sparsities per block that keep a total, weighted by parameters."""

from __future__ import annotations

from collections.abc import Sequence

LARGEST = 0.99
"""Most of a block that any rule removes."""


def shifted_to(total: float, wanted: Sequence[float], weights: Sequence[int]) -> list[float]:
    """Sparsities as wanted but for one shift, so that Σ s w = total Σ w and each is in [0, `LARGEST`].

    The shift is found by bisection: the clipped sum rises with it, so that one exists whenever the total itself is in range.

    Args:
        total: the sparsity of all together.
        wanted: of each block; may be outside the range.
        weights: of each block.
    """
    aim, whole = total * sum(weights), sum(weights)
    low, high = -1.0 - max(wanted), 1.0 - min(wanted)
    for _ in range(200):
        middle = (low + high) / 2
        if _summed(wanted, weights, middle) < aim:
            low = middle
        else:
            high = middle
    found = [_clipped(each + high) for each in wanted]
    assert abs(sum(share * weight for share, weight in zip(found, weights, strict=True)) - aim) <= 1e-9 * whole
    return found


def _summed(wanted: Sequence[float], weights: Sequence[int], shift: float) -> float:
    return sum(_clipped(each + shift) * weight for each, weight in zip(wanted, weights, strict=True))


def _clipped(share: float) -> float:
    return min(max(share, 0.0), LARGEST)

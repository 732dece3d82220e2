"""Series that are no longer than a chart can draw."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from core.kvcache.pages.result import Series

POINTS = 512
_NAMES = ("x", "utilization", "filled", "contiguous", "running", "waiting")


def thinned(series: Series) -> Series:
    """At most `POINTS` points, each the mean over its span."""
    count = len(series.x)
    if count <= POINTS:
        return series
    edges = [round(index * count / POINTS) for index in range(POINTS + 1)]

    def means(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(fmean(values[first:last]) for first, last in pairwise(edges)) if values else ()

    return series.model_copy(update={name: means(getattr(series, name)) for name in _NAMES})

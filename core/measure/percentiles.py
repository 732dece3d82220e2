"""Percentiles that say how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
CONFIDENCE: Final = 0.99
"""Of the sample-size rule."""
_INTERVAL: Final = 0.95
_DRAWS: Final = (60, 600)
"""Fewest and most draws of a bootstrap."""
_MOST_WORK: Final = 60_000_000
"""Values that all draws together go through, as long as the fewest draws allow."""


def samples_needed(level: float) -> int:
    """Samples without a violation from which on a percentile may be claimed: the smallest n with 1 - p^n >= `CONFIDENCE`.

    459 for p99 and 90 for p95 at 99 % (MLPerf LoadGen).
    """
    return ceil(log(1 - CONFIDENCE) / log(level / 100) - 1e-9)


@dataclass(frozen=True)
class Percentile:
    """One percentile of a sample."""

    level: float
    value: float
    low: float | None
    """Lower end of its 95 % interval; None when the sample is too small to have one."""
    high: float | None
    enough: bool
    """Whether there are as many samples as `samples_needed` asks for."""


@dataclass(frozen=True)
class Distribution:
    """A sample in figures; None where there is no sample."""

    n: int
    mean: float | None
    deviation: float | None
    least: float | None
    most: float | None
    percentiles: tuple[Percentile, ...]

    def at(self, level: float) -> float | None:
        """The value of a percentile."""
        return next((each.value for each in self.percentiles if each.level == level), None)


def distribution(sample: Sequence[float] | NDArray[np.float64], levels: Sequence[float] = LEVELS) -> Distribution:
    """Mean, standard deviation (n - 1), ends and percentiles of a sample.

    A percentile is the smallest value that at least that share of the sample does not exceed (the nearest rank, no interpolation: it is a value
    that occurred). Its interval is that of order statistics, free of any assumption on the distribution.
    """
    values = np.sort(np.asarray(sample, dtype=np.float64))
    count = len(values)
    if not count:
        return Distribution(0, None, None, None, None, ())
    deviation = float(values.std(ddof=1)) if count > 1 else None
    found = tuple(_percentile(values, level) for level in levels)
    return Distribution(count, float(values.mean()), deviation, float(values[0]), float(values[-1]), found)


def grouped_distribution(groups: Sequence[Sequence[float]], levels: Sequence[float] = LEVELS) -> Distribution:
    """The same of values that hang together in groups, as the gaps of one answer do, where only the groups are independent of each other.

    A percentile is that of all values. Its interval is a bootstrap over the groups (percentile method, Efron 1979; whole groups are drawn, Field and
    Welsh 2007), with no end where so many groups have none, and the sample-size rule counts the groups.

    Args:
        groups: the values of each request; those without any do not count.
        levels: percentiles.
    """
    held = [group for group in groups if len(group)]
    plain = distribution([value for group in held for value in group], levels)
    if not held or all(len(group) == 1 for group in held):
        return plain
    values = np.concatenate([np.asarray(group, dtype=np.float64) for group in held])
    order = np.argsort(values, kind="stable")
    drawn = _drawn(values[order], np.repeat(np.arange(len(held)), [len(group) for group in held])[order], len(held), np.asarray(levels))
    tail = 100 * (1 - _INTERVAL) / 2
    found = []
    for place, percentile in enumerate(plain.percentiles):
        has_low, has_high = (end is not None for end in _interval(len(held), percentile.level / 100))
        low, high = np.percentile(drawn[:, place], [tail, 100 - tail])
        enough = len(held) >= samples_needed(percentile.level)
        found.append(replace(percentile, low=float(low) if has_low else None, high=float(high) if has_high else None, enough=enough))
    return replace(plain, percentiles=tuple(found))


def _drawn(values: NDArray[np.float64], owners: NDArray[np.int64], count: int, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percentiles, nearest rank, of draws of whole groups with replacement: [draws, levels].

    Args:
        values: ascending, [n].
        owners: the group of each, [n].
        count: groups.
        levels: percentiles.
    """
    draws = int(np.clip(_MOST_WORK // len(values), *_DRAWS))
    generator = np.random.default_rng(0)
    found = np.empty((draws, len(levels)))
    for draw in range(draws):
        weights = np.bincount(generator.integers(0, count, count), minlength=count)
        reached = np.cumsum(weights[owners])
        ranks = np.maximum(np.ceil(levels / 100 * reached[-1] - 1e-9), 1)
        found[draw] = values[np.minimum(np.searchsorted(reached, ranks), len(values) - 1)]
    return found


def _percentile(values: NDArray[np.float64], level: float) -> Percentile:
    count, share = len(values), level / 100
    rank = max(ceil(share * count - 1e-9), 1)
    low, high = _interval(count, share)
    return Percentile(
        level,
        float(values[rank - 1]),
        None if low is None else float(values[low - 1]),
        None if high is None else float(values[high - 1]),
        count >= samples_needed(level),
    )


def _interval(count: int, share: float) -> tuple[int | None, int | None]:
    """Ranks l, u, from 1, with P(value l <= quantile) and P(quantile <= value u) of at least 97.5 % each; None where no rank is enough.

    The number of samples below the quantile is binomial(n, share), so l is the largest with P(N >= l) >= 97.5 %.
    """
    tail = (1 - _INTERVAL) / 2
    below = np.concatenate(([0.0], np.cumsum(_binomial(count, share))))
    lows = np.flatnonzero(below[1 : count + 1] <= tail)
    highs = np.flatnonzero(below[1 : count + 1] >= 1 - tail)
    low = int(lows[-1]) + 1 if len(lows) else None
    high = int(highs[0]) + 1 if len(highs) else None
    return low, high


def _binomial(count: int, share: float) -> NDArray[np.float64]:
    """P(N = k) for k = 0 .. count, by logarithms."""
    k = np.arange(1, count + 1, dtype=np.float64)
    choose = np.concatenate(([0.0], np.cumsum(np.log((count - k + 1) / k))))
    k = np.concatenate(([0.0], k))
    result: NDArray[np.float64] = np.exp(choose + k * np.log(share) + (count - k) * np.log1p(-share))
    return result

"""Whether two results differ beyond noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

_DRAWS = 2000
_CONFIDENCE = 0.95
_AT_ONCE = 2_000_000
"""Values that are drawn in one go, so that long samples do not fill the memory."""


@dataclass(frozen=True)
class Difference:
    """A statistic of one sample over that of another."""

    ratio: float
    low: float
    """Of its interval, at 95 % confidence unless another is given."""
    high: float
    significant: bool
    """1 is outside the interval."""


def ratio_of(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    level: float | None = None,
    seed: int = 0,
    confidence: float = _CONFIDENCE,
) -> Difference | None:
    """The first sample's mean, or percentile, over the second's, with a bootstrap interval (percentile method, Efron 1979).

    Args:
        first: of independent values, for example one a request.
        second: the same of what is compared with.
        level: percentile, nearest rank; None: the mean.
        seed: of the draws.
        confidence: of the interval; where k ratios are judged together, 1 - 0.05 / k keeps the chance of one false alarm at 5 %.

    Returns:
        None where a sample has fewer than two values, or the second's statistic is 0.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(one) < 2 or len(other) < 2:
        return None
    below = _statistic(other[None], level)[0]
    if below == 0:
        return None
    generator = np.random.default_rng(seed)
    top, bottom = _drawn(one, level, generator), _drawn(other, level, generator)
    drawn = top / np.where(bottom == 0, np.finfo(np.float64).tiny, bottom)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    ratio = float(_statistic(one[None], level)[0] / below)
    return Difference(ratio, float(low), float(high), bool(low > 1 or high < 1))


def _drawn(sample: NDArray[np.float64], level: float | None, generator: np.random.Generator) -> NDArray[np.float64]:
    """The statistic of each draw with replacement.

    Of n values drawn from a sorted sample with replacement the k-th smallest is the one at place floor(n U), where U, the k-th smallest of n
    uniform numbers, is Beta(k, n - k + 1): a percentile need not draw them all.
    """
    count = len(sample)
    if level is not None:
        rank = max(ceil(level / 100 * count - 1e-9), 1)
        places = np.floor(count * generator.beta(rank, count - rank + 1, _DRAWS)).astype(np.int64)
        found: NDArray[np.float64] = np.sort(sample)[np.minimum(places, count - 1)]
        return found
    size = max(_AT_ONCE // count, 1)
    rounds = [min(size, _DRAWS - start) for start in range(0, _DRAWS, size)]
    return np.concatenate([sample[generator.integers(0, count, (several, count))].mean(1) for several in rounds])


def _statistic(samples: NDArray[np.float64], level: float | None) -> NDArray[np.float64]:
    found: NDArray[np.float64] = samples.mean(1) if level is None else np.percentile(samples, level, axis=1, method="inverted_cdf")
    return found

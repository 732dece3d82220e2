"""How a time grows with a length: the exponent of a power law and its interval, from the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean


@dataclass(frozen=True)
class PowerLaw:
    """t = coefficient * n ** exponent by least squares of the logarithms.

    low, high: 95 % interval of the exponent, by Student's t with two degrees of freedom less than there are points.
    """

    coefficient: float
    exponent: float
    low: float
    high: float
    r_squared: float


def fit(lengths: Sequence[float], times: Sequence[float]) -> PowerLaw:
    """Fit positive times to positive lengths, at least three points of at least two lengths."""
    x, y = [math.log(length) for length in lengths], [math.log(time) for time in times]
    mean_x, mean_y = fmean(x), fmean(y)
    spread = sum((value - mean_x) ** 2 for value in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    start = mean_y - slope * mean_x
    residual = sum((b - start - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    total = sum((value - mean_y) ** 2 for value in y)
    freedom = len(x) - 2
    half = student_t(0.975, freedom) * math.sqrt(residual / freedom / spread)
    return PowerLaw(math.exp(start), slope, slope - half, slope + half, 1 - residual / total if total else 1.0)


def student_t(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution above its median, by bisection of its integral."""
    low, high = 0.0, 1.0
    while _below(high, freedom) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


_PANELS = 400


def _below(limit: float, freedom: int) -> float:
    """Probability of less than `limit` >= 0: Simpson's rule over the angle whose tangent is t / sqrt(freedom)."""
    end = math.atan(limit / math.sqrt(freedom))
    step = end / _PANELS
    values = [math.cos(index * step) ** (freedom - 1) for index in range(_PANELS + 1)]
    area = step / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return 0.5 + constant * area


def tail_exponent(lengths: Sequence[float], times: Sequence[float]) -> float:
    """Exponent between the two longest lengths, ascending."""
    (first, last), (before, after) = [*pairwise(lengths)][-1], [*pairwise(times)][-1]
    return math.log(after / before) / math.log(last / first)


@dataclass(frozen=True)
class Parts:
    """total = step * n + token * n (n + 1) / 2: what every step costs, and what each token costs that is gone through again."""

    step: float
    token: float
    r_squared: float
    """Of the relative errors."""

    @property
    def even(self) -> float | None:
        """Length from which the growing part is the larger; None where it does not grow."""
        return 2 * self.step / self.token - 1 if self.token > 0 else None


def parts(lengths: Sequence[float], totals: Sequence[float]) -> Parts:
    """Split totals by least squares of the relative errors; neither part is below zero."""
    rows = [(n / t, n * (n + 1) / 2 / t) for n, t in zip(lengths, totals, strict=True)]
    aa, bb = (sum(row[index] ** 2 for row in rows) for index in (0, 1))
    ab, a, b = sum(x * y for x, y in rows), sum(x for x, _ in rows), sum(y for _, y in rows)
    determinant = aa * bb - ab * ab
    step, token = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    if step < 0 or token < 0:
        step, token = (a / aa, 0.0) if token < 0 else (0.0, b / bb)
    left = sum((1 - step * x - token * y) ** 2 for x, y in rows)
    mean = fmean(totals)
    spread = sum((1 - mean / t) ** 2 for t in totals)
    return Parts(step, token, 1 - left / spread if spread else 1.0)

"""What a chart shows, as frozen data: made once, drawn anywhere, compared to know whether anything changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["line", "scatter", "hist", "column", "bar"]
Stroke = Literal["line", "points"]


LARGEST = 1e300
"""Greater magnitudes are treated as infinite: sums and ranges of them would be."""


def apart(low: float, high: float) -> tuple[float, float]:
    """The same limits, or wider ones where they are too close to be distinguished."""
    if high - low > max(abs(low), abs(high)) * 1e-9:
        return low, high
    margin = max(abs(low), abs(high)) * 0.05 or 0.5
    return low - margin, high + margin


@dataclass(frozen=True)
class Series:
    """One set of values with its name in the legend.

    `y` holds the values; `x` their positions (default 0, 1, 2, ...). Of a histogram `y` are the counts and `x` the edges,
    one more than there are counts; `Series.histogram` makes both from raw values. Of bars and columns `y` holds one value a category.
    """

    y: tuple[float, ...]
    x: tuple[float, ...] | None = None
    label: str = ""
    stroke: Stroke | None = None
    """Overrides what the kind of plot would do, for example a reference line in a scatter plot."""
    mark: str = ""
    """A single character for its points (or `braille` for fine dots) instead of the next of the usual shapes, for example a letter that a list
    next to the chart explains."""
    like: int | None = None
    """Number of another series whose colour it has, for example a fitted line with its points."""

    @classmethod
    def of(
        cls,
        y: Sequence[float],
        x: Sequence[float] | None = None,
        label: str = "",
        stroke: Stroke | None = None,
        mark: str = "",
        like: int | None = None,
    ) -> Series:
        """A series from any sequences of numbers."""
        return cls(tuple(map(float, y)), None if x is None else tuple(map(float, x)), label, stroke, mark, like)

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]], label: str = "", stroke: Stroke | None = None, mark: str = "") -> Series:
        """A series through (x, y) points."""
        return cls.of([y for _, y in points], [x for x, _ in points], label, stroke, mark)

    @classmethod
    def histogram(cls, values: Sequence[float], bins: int = 40, label: str = "") -> Series:
        """Counts of the finite values in `bins` equal intervals from the least to the greatest."""
        finite = [float(value) for value in values if abs(value) <= LARGEST]
        if not finite:
            return cls((), (), label)
        low, high = apart(min(finite), max(finite))
        step = (high - low) / bins
        counts = [0] * bins
        for value in finite:
            counts[min(int((value - low) / step), bins - 1)] += 1
        return cls(tuple(map(float, counts)), tuple(low + step * index for index in range(bins + 1)), label)


@dataclass(frozen=True)
class Plot:
    """A whole chart. Labels carry their unit in `x_unit` and `y_unit` (for bars the values are on y)."""

    kind: Kind
    series: tuple[Series, ...] = field(default=())
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    x_unit: str = ""
    y_unit: str = ""
    categories: tuple[str, ...] = ()
    """Names of the bars or columns."""
    stacked: bool = False
    log_x: bool = False
    """Of lines and scatters; a histogram's bins are equally wide."""
    log_y: bool = False
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    empty: str = "nothing measured yet"
    """Shown in place of a chart without a single finite value."""

    @property
    def x_title(self) -> str:
        return _titled(self.x_label, self.x_unit)

    @property
    def y_title(self) -> str:
        return _titled(self.y_label, self.y_unit)

    @property
    def not_finite(self) -> int:
        """How many values cannot be shown because they are infinite or not a number."""
        return sum(not math.isfinite(value) for series in self.series for value in (*series.y, *(series.x or ())))


def _titled(label: str, unit: str) -> str:
    if not unit:
        return label
    return f"{label} ({unit})" if label else unit

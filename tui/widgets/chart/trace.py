"""A curve that grows for hours and stays small: of each span its lowest and its highest point are kept."""

from __future__ import annotations

from array import array

from tui.widgets.chart.plot import Series

MOST = 480
"""Points of a trace: two for each dot column of a chart of 120 cells."""


class Trace:
    """Points of one figure over time, at most `most` of them.

    Points are kept in spans of equally many, of each the lowest and the highest at their own times, and the newest of all. When there are too many
    spans each two neighbours become one: no peak is lost, and early ones are as fine as late ones.

    Args:
        most: points kept, at least 5.
    """

    def __init__(self, most: int = MOST) -> None:
        if most < 5:
            raise ValueError(f"most must be at least 5, got {most}")
        self._spans = (most - 1) // 4 * 2
        self._length, self._in_last = 1, 0
        self._low_x, self._low_y = array("d"), array("d")
        self._high_x, self._high_y = array("d"), array("d")
        self._newest = (0.0, 0.0)

    def __bool__(self) -> bool:
        return bool(self._low_x)

    @property
    def points(self) -> list[tuple[float, float]]:
        """(x, y) in the order in which they were added."""
        kept: list[tuple[float, float]] = []
        for low, high in zip(zip(self._low_x, self._low_y, strict=True), zip(self._high_x, self._high_y, strict=True), strict=True):
            kept += [low] if low == high else sorted((low, high))
        if kept and kept[-1] != self._newest:
            kept.append(self._newest)
        return kept

    @property
    def top(self) -> float:
        """The highest value ever, 0 where there is none."""
        return max(self._high_y, default=0.0)

    def add(self, x: float, y: float | None) -> None:
        """Take in the next point, further right than those before; None is passed over."""
        if y is None:
            return
        self._newest = (x, y)
        if not self._low_x or self._in_last == self._length:
            self._begin_span(x, y)
            return
        self._in_last += 1
        if y < self._low_y[-1]:
            self._low_x[-1], self._low_y[-1] = x, y
        if y > self._high_y[-1]:
            self._high_x[-1], self._high_y[-1] = x, y

    def series(self, label: str = "") -> Series:
        """As a series of a plot."""
        return Series.through(self.points, label)

    def _begin_span(self, x: float, y: float) -> None:
        if len(self._low_x) == self._spans:
            self._join_spans()
        for column, value in ((self._low_x, x), (self._low_y, y), (self._high_x, x), (self._high_y, y)):
            column.append(value)
        self._in_last = 1

    def _join_spans(self) -> None:
        firsts = range(0, len(self._low_x), 2)
        lowest = [at if self._low_y[at] <= self._low_y[at + 1] else at + 1 for at in firsts]
        highest = [at if self._high_y[at] >= self._high_y[at + 1] else at + 1 for at in firsts]
        self._low_x, self._low_y = _chosen(self._low_x, lowest), _chosen(self._low_y, lowest)
        self._high_x, self._high_y = _chosen(self._high_x, highest), _chosen(self._high_y, highest)
        self._length *= 2


def _chosen(column: array[float], places: list[int]) -> array[float]:
    return array("d", (column[at] for at in places))

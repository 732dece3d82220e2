"""What a picture is made of, and the marks that distinguish series.

A picture is a tuple of lines, a line a tuple of (text, role). Role 0 is plain, 1 the title, 2 what is quiet (axes,
labels), and `SERIES + i` belongs to series i. The widget turns roles into colours; a changed theme redraws nothing.
"""

from __future__ import annotations

from tui.widgets.chart.plot import Plot, Series

Run = tuple[str, int]
Line = tuple[Run, ...]
Picture = tuple[Line, ...]

PLAIN, TITLE, QUIET, SERIES = 0, 1, 2, 3
MARKERS = ("braille", "•", "×", "+", "◦", "▪")
"""Shapes of the series in line and scatter charts, so that colour is never the only difference."""
FILLS = ("█", "▒", "▓", "░", "▞", "▚")
"""The same for bars and columns."""


def marker_of(plot: Plot, index: int) -> str:
    """What the points of a series are drawn with."""
    return plot.series[index].mark or MARKERS[index % len(MARKERS)]


def role_of(plot: Plot, index: int) -> int:
    """The role of a series, by which it is coloured."""
    like = plot.series[index].like
    return SERIES + (index if like is None else like)


def is_line(plot: Plot, series: Series) -> bool:
    """Whether the points of a series are joined."""
    return (series.stroke or ("points" if plot.kind == "scatter" else "line")) == "line"

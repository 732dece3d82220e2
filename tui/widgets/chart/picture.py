"""From a plot to lines of text with roles: the part of a chart that needs neither a screen nor colours."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

from core.sanitize import clean
from tui.widgets.chart.marks import FILLS, PLAIN, QUIET, SERIES, TITLE, Line, Picture, Run, is_line, marker_of, role_of
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.chart.ticks import short

LEAST_WIDTH, LEAST_HEIGHT = 24, 6
"""Below this a chart is put into words."""
_NARROW = re.compile("[ -~\u2500-\u25ef\u2800-\u28ff]*")
"""ASCII, lines and blocks, braille: a cell each."""


@lru_cache(maxsize=12)
def draw(plot: Plot, width: int, height: int) -> Picture:
    """The picture of a plot in `width` x `height` cells; in words when that is too little, never an exception."""
    try:
        return _draw(plot, width, height)
    except Exception as error:  # whatever a drawing library does, a screen must stay whole
        return words(plot, width, height, f"this chart could not be drawn ({clean(type(error).__name__)})")


def _draw(plot: Plot, width: int, height: int) -> Picture:
    if width <= 0 or height <= 0:
        return ()
    if not any(math.isfinite(value) for series in plot.series for value in series.y):
        return words(plot, width, height, plot.empty)
    if plot.kind == "bar":
        from tui.widgets.chart.bars import bars

        least = 2 if plot.title else 1
        if width < LEAST_WIDTH or height < least:
            return words(plot, width, height)
        top = header(plot, width)
        return _fit((*top, *bars(plot, width, height - len(top))), height)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return words(plot, width, height)
    from tui.widgets.chart.canvas import NothingToDraw, canvas

    top = header(plot, width)
    try:
        return _fit((*top, *canvas(plot, width, height - len(top))), height)
    except NothingToDraw:
        return words(plot, width, height, "no value can be drawn on these axes")


def header(plot: Plot, width: int) -> Picture:
    """Title and legend: on one line where both fit, else below each other; nothing where there is neither."""
    title = _title(plot)
    left_out = 0 if plot.kind == "bar" else plot.not_finite
    legend = legend_of(plot) + (((f"  {left_out} not finite", QUIET),) if left_out else ())
    if not legend:
        return (cut(title, width),) if title else ()
    if not title:
        return (cut(legend, width),)
    space = width - line_length(title) - line_length(legend)
    if space >= 2:
        return ((*title, (" " * space, PLAIN), *legend),)
    return (cut(title, width), cut(legend, width))


def _title(plot: Plot) -> Line:
    """The title, then what the vertical axis counts."""
    title: Line = ((clean(plot.title), TITLE),) if plot.title else ()
    if not plot.y_title or plot.kind == "bar" or plot.y_title == plot.title:
        return title
    return (*title, (("  " if title else "") + clean(plot.y_title), QUIET))


def legend_of(plot: Plot) -> Line:
    """Marker and name of every named series; empty when there is one series and its name says nothing new."""
    named = [(index, series) for index, series in enumerate(plot.series) if series.label]
    if not named or (len(plot.series) == 1 and plot.title):
        return ()
    runs: list[Run] = []
    for index, series in named:
        runs += [("  " if runs else "", PLAIN), (f"{legend_marker(plot, index)} ", role_of(plot, index)), (clean(series.label), PLAIN)]
    return tuple(run for run in runs if run[0])


def legend_marker(plot: Plot, index: int) -> str:
    """The sign of a series in the legend."""
    if plot.kind in ("bar", "column") or (plot.kind == "hist" and index == 0):
        return FILLS[index % len(FILLS)] * 2
    marker = marker_of(plot, index)
    if marker != "braille":
        return marker
    return "⠤⠤" if is_line(plot, plot.series[index]) else "⠶⠂"


def words(plot: Plot, width: int, height: int, message: str = "") -> Picture:
    """The plot in words, for sizes and data that no chart can show."""
    lines: list[Line] = [((clean(plot.title), TITLE),)] if plot.title else []
    if message:
        lines.append(((message, QUIET),))
    else:
        lines += [_summary(plot, index, series) for index, series in enumerate(plot.series)]
    return _fit(tuple(cut(line, width) for line in lines), height)


def _summary(plot: Plot, index: int, series: Series) -> Line:
    finite = [value for value in series.y if math.isfinite(value)]
    unit = f" {plot.y_unit}" if plot.y_unit else ""
    if plot.kind in ("bar", "column"):
        pairs = zip(plot.categories, series.y, strict=False)
        text = ", ".join(f"{clean(name)} {short(value)}{unit}" for name, value in pairs)
    elif not finite:
        text = plot.empty
    elif len(finite) == 1 or plot.kind == "line":
        text = f"last {short(finite[-1])}{unit}, {short(min(finite))} to {short(max(finite))}"
    else:
        text = f"{len(finite)} values, {short(min(finite))} to {short(max(finite))}{unit}"
    name = clean(series.label) or clean(plot.y_label)
    return ((f"{name}: ", SERIES + index), (text, PLAIN)) if name else ((text, PLAIN),)


def line_length(line: Line) -> int:
    """Cells that a line takes."""
    # Rich keeps every text that it was ever asked for, up to thousands: those of a live chart never come again.
    return sum(len(text) if _NARROW.fullmatch(text) else cell_len(text) for text, _ in line)


def cut(line: Line, width: int) -> Line:
    """A line of at most `width` cells, its end an ellipsis where something was cut off."""
    if line_length(line) <= width:
        return line
    kept: list[Run] = []
    left = max(width - 1, 0)
    for text, role in line:
        if cell_len(text) > left:
            kept.append((set_cell_size(text, left).rstrip() + "…", role))
            break
        kept.append((text, role))
        left -= cell_len(text)
    return tuple(kept) if width > 0 else ()


def plain(picture: Picture) -> str:
    """The text of a picture, for tests and for files."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in picture)


def _fit(picture: Picture, height: int) -> Picture:
    return picture[:height]

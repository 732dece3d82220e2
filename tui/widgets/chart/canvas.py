"""Line, scatter, histogram and column charts through plotext, which is asked for a string and never sees stdout."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

from core.sanitize import clean
from tui.widgets.chart.marks import FILLS, MARKERS, PLAIN, QUIET, SERIES, Line, Picture, Run, is_line, marker_of, role_of
from tui.widgets.chart.plot import LARGEST, Plot, Series, apart
from tui.widgets.chart.ticks import log_ticks, round_step, tick_labels, ticks

_CODE = re.compile(r"\x1b\[([0-9;]*)m")
_ROLE_BASE = 16
"""Roles travel through plotext as palette colours from here on; no colour of the palette is ever shown."""
_lock = Lock()

Limits = tuple[float, float]
Points = tuple[list[float], list[float], list[bool]]
"""x, y, and whether each point is joined to the one before it."""


class NothingToDraw(Exception):
    """No point has a place on the axes, for example because a logarithmic one has no zero."""


def canvas(plot: Plot, width: int, height: int) -> Picture:
    """The plot with its axes in exactly `width` x `height` cells."""
    data = [_points(plot, series) for series in plot.series]
    x_limits, y_limits = _limits(plot, data, _y_wanted(height))
    figure = _figure(width, height)
    with _lock:
        _axes(figure, plot, x_limits, y_limits, width, height)
        grid = (2 * width, 4 * height)
        if plot.kind == "hist":
            _add_histogram(figure, plot, x_limits, y_limits, width)
        elif plot.kind == "column":
            _add_columns(figure, plot, x_limits, y_limits, width)
        else:
            lines_below_points = sorted(range(len(data)), key=lambda index: plot.kind == "scatter" and not is_line(plot, plot.series[index]))
            for index in lines_below_points:
                series = plot.series[index]
                xs, ys, joined = _thinned(data[index], x_limits, y_limits, grid, is_line(plot, series))
                placed = [_unit(x, x_limits) for x in xs], [_unit(y, y_limits) for y in ys], joined
                _add_points(figure, plot, index, series, placed)
        drawn = tuple(_parse(line) for line in figure.build().string().rstrip("\n").split("\n"))
    _forget(figure)
    return drawn


def _figure(width: int, height: int) -> Any:
    import plotext

    terminal = type(plotext.terminal)()
    terminal.limit(False, False)
    figure = terminal._master
    figure.plot_size(width, height)
    figure.theme("colorless")
    figure.legend(False)
    return figure


def _forget(figure: Any) -> None:
    """Cut the circles of references that a figure is, so that it goes at once: at one a second the collector would find megabytes of them."""
    for rulers in vars(figure._rulers).values():
        for ruler in rulers if isinstance(rulers, list | tuple) else ():
            vars(ruler._date).clear()
    vars(figure).clear()


def _axes(figure: Any, plot: Plot, x_limits: Limits, y_limits: Limits, width: int, height: int) -> None:
    figure.axes(True, pixel=_pixel(QUIET))
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    y_positions = (log_ticks if plot.log_y else ticks)(*y_limits, _y_wanted(height))
    _ruler(figure, "y", y_positions, _labels(y_positions, plot.log_y), y_limits)
    if plot.kind == "column":
        names = [clean(name, limit=max(3, width // max(len(plot.categories), 1) - 2)) for name in plot.categories]
        _ruler(figure, "x", tuple(float(index + 1) for index in range(len(names))), names, x_limits)
    else:
        log = plot.log_x and plot.kind != "hist"
        x_positions = (log_ticks if log else ticks)(*x_limits, max(3, width // 12))
        _ruler(figure, "x", x_positions, _labels(x_positions, log), x_limits)
    if plot.x_title:
        figure.label(clean(plot.x_title, limit=width - 2), "x")


def _y_wanted(height: int) -> int:
    return max(2, height // 3)


def _ruler(figure: Any, axis: str, positions: tuple[float, ...], labels: list[str], limits: Limits) -> None:
    ruler = figure.ruler(axis)
    ruler.lim(0.0, 1.0)
    ruler.ticks([_unit(position, limits) for position in positions], labels)
    ruler.pixel(_pixel(QUIET))


def _labels(positions: tuple[float, ...], log: bool) -> list[str]:
    return [_power(position) for position in positions] if log else tick_labels(positions)


def _power(exponent: float) -> str:
    return f"{10**exponent:.3g}".replace("e+0", "e").replace("e-0", "e-") if abs(exponent) < 300 else f"1e{exponent:.0f}"


def _pixel(role: int) -> Any:
    import plotext

    return plotext.pixel(foreground=_ROLE_BASE + role)


def _points(plot: Plot, series: Series) -> Points:
    """Finite points on the scales of the plot; a point after a gap is not joined."""
    positions = series.x if series.x is not None else tuple(map(float, range(len(series.y))))
    xs: list[float] = []
    ys: list[float] = []
    joined: list[bool] = []
    gap = True
    for x, y in zip(positions, series.y, strict=False):
        x, y = _scaled(x, plot.log_x), _scaled(y, plot.log_y)
        if math.isnan(x) or math.isnan(y):
            gap = True
            continue
        xs.append(x)
        ys.append(y)
        joined.append(not gap)
        gap = False
    return xs, ys, joined


def _scaled(value: float, log: bool) -> float:
    if not math.isfinite(value) or abs(value) > LARGEST or (log and value <= 0):
        return math.nan
    return math.log10(value) if log else value


def _limits(plot: Plot, data: list[Points], wanted: int) -> tuple[Limits, Limits]:
    if plot.kind == "column":
        if not plot.categories:
            raise NothingToDraw
        return (0.4, len(plot.categories) + 0.6), _y_limits(plot, _column_ends(plot), wanted)
    if plot.kind == "hist":
        edges = [edge for series in plot.series for edge in series.x or () if not math.isnan(_scaled(edge, False))]
        if not edges:
            raise NothingToDraw
        return apart(min(edges), max(edges)), _y_limits(plot, [y for _, ys, _ in data for y in ys] + [0.0], wanted)
    xs = [x for points in data for x in points[0]]
    if not xs:
        raise NothingToDraw
    given = plot.x_limits and tuple(_scaled(limit, plot.log_x) for limit in plot.x_limits)
    x_limits = apart(*given) if given and not any(map(math.isnan, given)) else apart(min(xs), max(xs))
    return x_limits, _y_limits(plot, [y for points in data for y in points[1]], wanted)


def _y_limits(plot: Plot, values: list[float], wanted: int) -> Limits:
    given = plot.y_limits and tuple(_scaled(limit, plot.log_y) for limit in plot.y_limits)
    if given and not any(map(math.isnan, given)):
        return apart(*given)
    low, high = apart(min(values), max(values))
    if plot.log_y:
        return low, high
    step = round_step((high - low) / wanted)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _thinned(points: Points, x_limits: Limits, y_limits: Limits, grid: tuple[int, int], joined: bool) -> Points:
    """No more points than the grid of dots can show: extremes of each column for lines, one a dot for clouds."""
    xs, ys, links = points
    if len(xs) <= 2 * grid[0]:
        return points
    across = grid[0] / (x_limits[1] - x_limits[0])
    if joined and all(links[1:]) and all(a <= b for a, b in pairwise(xs)):
        columns: dict[int, list[int]] = {}
        for index, x in enumerate(xs):
            columns.setdefault(int((x - x_limits[0]) * across), []).append(index)
        kept = sorted({choice for indices in columns.values() for choice in _extremes(indices, ys)})
    elif joined:
        return points
    else:
        down = grid[1] / (y_limits[1] - y_limits[0])
        dots = {(int((x - x_limits[0]) * across), int((y - y_limits[0]) * down)): index for index, (x, y) in enumerate(zip(xs, ys, strict=True))}
        kept = sorted(dots.values())
    return [xs[index] for index in kept], [ys[index] for index in kept], [links[index] for index in kept]


def _extremes(indices: list[int], ys: list[float]) -> tuple[int, int, int, int]:
    return indices[0], min(indices, key=ys.__getitem__), max(indices, key=ys.__getitem__), indices[-1]


def _add_points(figure: Any, plot: Plot, index: int, series: Series, points: Points) -> None:
    xs, ys, joined = points
    if not xs:
        return
    signal = figure.signal(xs, ys, marker=_marker(marker_of(plot, index), role_of(plot, index)))
    if is_line(plot, series):
        signal.lines(True)
        for position, link in enumerate(joined):
            if not link:
                signal.line(position, False)
    figure.draw(signal)


def _marker(shape: str, role: int) -> Any:
    import plotext

    return plotext.marker(shape, pixel=_pixel(role))


def _add_histogram(figure: Any, plot: Plot, x_limits: Limits, y_limits: Limits, width: int) -> None:
    """The first series as a filled shape, a stem every half cell; the others as outlines over it."""
    for index, series in enumerate(plot.series):
        xs, ys = _steps(series, plot.log_y, 4 * width)
        xs, ys = [_unit(x, x_limits) for x in xs], [_unit(y, y_limits) for y in ys]
        if index:
            figure.draw(figure.signal(xs, ys, marker=_marker(MARKERS[index % len(MARKERS)], SERIES + index)).lines(True))
            continue
        kept = [(x, y) for x, y in zip(xs, ys, strict=True) if y > 0]
        _stems(figure, [x for x, _ in kept], 0.0, [y for _, y in kept], _marker("hd", SERIES))


def _steps(series: Series, log: bool, count: int) -> tuple[list[float], list[float]]:
    """The height of a histogram at `count` places spread evenly over its width."""
    edges = series.x or ()
    if len(edges) < 2:
        return [], []
    step = (edges[-1] - edges[0]) / count
    xs = [edges[0] + (position + 0.5) * step for position in range(count)]
    heights = [_scaled(value, log) for value in series.y]
    ys = [heights[min(bisect_right(edges, x), len(heights)) - 1] for x in xs]
    finite = [(x, y) for x, y in zip(xs, ys, strict=True) if not math.isnan(y)]
    return [x for x, _ in finite], [y for _, y in finite]


@dataclass(frozen=True)
class _Column:
    """A bar on the scale of the axis; `low` None begins at the axis."""

    series: int
    row: int
    low: float | None
    high: float


def _columns(plot: Plot) -> Iterator[_Column]:
    for row in range(len(plot.categories)):
        below = 0.0
        for index, series in enumerate(plot.series):
            value = series.y[row] if row < len(series.y) else math.nan
            if math.isnan(_scaled(value, False)) or value == 0:
                continue
            low, high = (below, below + value) if plot.stacked else (0.0, value)
            below = high
            if not plot.log_y:
                yield _Column(index, row, low, high)
            elif high > 0:
                yield _Column(index, row, math.log10(low) if low > 0 else None, math.log10(high))


def _column_ends(plot: Plot) -> list[float]:
    """Every value that the vertical axis has to reach."""
    ends = [end for column in _columns(plot) for end in (column.low, column.high) if end is not None]
    if not ends:
        raise NothingToDraw
    return [*ends, math.floor(min(ends) - 1e-9)] if plot.log_y else [*ends, 0.0]


def _add_columns(figure: Any, plot: Plot, x_limits: Limits, y_limits: Limits, width: int) -> None:
    count = len(plot.series)
    for column in _columns(plot):
        left = column.row + (0.6 if plot.stacked else 0.6 + 0.8 * column.series / count)
        right = column.row + (1.4 if plot.stacked else 0.6 + 0.8 * (column.series + 1) / count)
        marker = _marker("hd" if column.series == 0 else FILLS[column.series % len(FILLS)], SERIES + column.series)
        low = 0.0 if column.low is None else _unit(column.low, y_limits)
        high = _unit(column.high, y_limits)
        if low != high:
            first, last = _unit(left, x_limits), _unit(right - 0.02, x_limits)
            steps = max(round((last - first) * 2 * width), 1)
            _stems(figure, [first + (last - first) * step / steps for step in range(steps + 1)], low, [high] * (steps + 1), marker)


def _stems(figure: Any, xs: list[float], low: float, highs: list[float], marker: Any) -> None:
    """A filled shape out of upright lines. plotext's own rectangles are not used: their denser lines end the process on an assertion."""
    stems = figure.signal(xs, highs, marker=marker)
    stems.fill(figure.signal(xs, [low] * len(xs), marker=marker))
    figure.draw(stems)


def _unit(value: float, limits: Limits) -> float:
    """Where the value lies between the limits, 0 to 1; what is out of sight is put just outside.

    plotext is given such numbers only: its kernel walks every cell of a line, also of one that leaves the
    picture by miles, and computes in a range where extremes of a float overflow.
    """
    return min(max((value - limits[0]) / (limits[1] - limits[0]), -1.0), 2.0)


def _parse(line: str) -> Line:
    """A line of plotext's with its palette colours turned back into roles."""
    runs: list[Run] = []
    role = PLAIN
    end = 0
    for match in _CODE.finditer(line):
        if match.start() > end:
            runs.append((line[end : match.start()], role))
        code = match.group(1)
        role = int(code.rsplit(";", 1)[1]) - _ROLE_BASE if code.startswith("38;5;") else PLAIN
        end = match.end()
    if end < len(line):
        runs.append((line[end:], role))
    return tuple(runs)

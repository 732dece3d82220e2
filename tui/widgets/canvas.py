"""Line, scatter, histogram and column charts through plotext, which is asked for a string and never sees stdout."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from itertools import pairwise
from threading import Lock
from typing import Any

from core.sanitize import clean
from tui.widgets.picture import FILLS, MARKERS, PLAIN, QUIET, SERIES, Line, Picture, Run, is_line
from tui.widgets.plot import LARGEST, Plot, Series, apart
from tui.widgets.ticks import log_ticks, round_step, tick_labels, ticks

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
            _add_histogram(figure, plot, y_limits[0], width)
        elif plot.kind == "column":
            _add_columns(figure, plot)
        else:
            lines_below_points = sorted(range(len(data)), key=lambda index: plot.kind == "scatter" and not is_line(plot, plot.series[index]))
            for index in lines_below_points:
                series = plot.series[index]
                _add_points(figure, plot, index, series, _thinned(data[index], x_limits, y_limits, grid, is_line(plot, series)))
        return tuple(_parse(line) for line in figure.build().string().rstrip("\n").split("\n"))


def _figure(width: int, height: int) -> Any:
    import plotext

    terminal = type(plotext.terminal)()
    terminal.limit(False, False)
    figure = terminal._master
    figure.plot_size(width, height)
    figure.theme("colorless")
    figure.legend(False)
    return figure


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
    ruler.lim(*limits)
    ruler.ticks(list(positions), labels)
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
        return (0.4, len(plot.categories) + 0.6), _y_limits(plot, [*_column_tops(plot), 0.0], wanted)
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
    signal = figure.signal(xs, ys, marker=_marker(MARKERS[index % len(MARKERS)], SERIES + index))
    if is_line(plot, series):
        signal.lines(True)
        for position, link in enumerate(joined):
            if not link:
                signal.line(position, False)
    figure.draw(signal)


def _marker(shape: str, role: int) -> Any:
    import plotext

    return plotext.marker(shape, pixel=_pixel(role))


def _add_histogram(figure: Any, plot: Plot, base: float, width: int) -> None:
    """The first series as a filled shape, a stem every half cell; the others as outlines over it."""
    for index, series in enumerate(plot.series):
        xs, ys = _steps(series, plot.log_y, 4 * width)
        if index:
            figure.draw(figure.signal(xs, ys, marker=_marker(MARKERS[index % len(MARKERS)], SERIES + index)).lines(True))
            continue
        kept = [(x, y) for x, y in zip(xs, ys, strict=True) if y > base]
        stems = figure.signal([x for x, _ in kept], [y for _, y in kept], marker=_marker("hd", SERIES))
        stems.fill(figure.signal([x for x, _ in kept], [base for _ in kept], marker=_marker("hd", SERIES)))
        figure.draw(stems)


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


def _column_tops(plot: Plot) -> list[float]:
    values = [[_column_value(series, row, plot.log_y) for series in plot.series] for row in range(len(plot.categories))]
    return [sum(row) for row in values] if plot.stacked else [value for row in values for value in row]


def _column_value(series: Series, row: int, log: bool) -> float:
    value = _scaled(series.y[row], log) if row < len(series.y) else math.nan
    return 0.0 if math.isnan(value) else value


def _add_columns(figure: Any, plot: Plot) -> None:
    count = len(plot.series)
    stacked = [0.0] * len(plot.categories)
    for index, series in enumerate(plot.series):
        marker = _marker("hd" if index == 0 else FILLS[index % len(FILLS)], SERIES + index)
        for row in range(len(plot.categories)):
            value = _column_value(series, row, plot.log_y)
            if value == 0:
                continue
            left = row + 0.6 if plot.stacked else row + 0.6 + 0.8 * index / count
            right = row + 1.4 if plot.stacked else row + 0.6 + 0.8 * (index + 1) / count
            base = stacked[row] if plot.stacked else 0.0
            stacked[row] += value
            figure.draw(figure.rectangle((left, right - 0.02), (base, base + value), marker=marker))


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

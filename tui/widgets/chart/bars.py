"""Horizontal bars to an eighth of a cell, with their values: finer than a plotting grid can be."""

from __future__ import annotations

import math

from rich.cells import cell_len, set_cell_size

from core.sanitize import clean
from tui.widgets.chart.marks import FILLS, PLAIN, QUIET, SERIES, Line, Picture, Run
from tui.widgets.chart.plot import LARGEST, Plot
from tui.widgets.chart.ticks import short
from tui.widgets.progress import EIGHTHS


def bars(plot: Plot, width: int, height: int) -> Picture:
    """One row a bar: name, bar, value with unit. Rows that do not fit are counted in a last line."""
    names = [clean(name) for name in plot.categories]
    name_width = min(max(map(cell_len, names), default=0), max(width // 3, 8))
    values = [_value_text(plot, values) for values in _rows(plot)]
    value_width = max(map(len, values), default=0)
    room = max(width - name_width - value_width - 2, 4)
    top = _greatest(plot)
    lines: list[Line] = []
    for position, (text, row) in enumerate(zip(values, _rows(plot), strict=True)):
        name = names[position // _rows_each(plot)] if position % _rows_each(plot) == 0 else ""
        bar = _bar(row, top, room)
        used = sum(len(part) for part, _ in bar)
        lines.append(((set_cell_size(name, name_width) + " ", PLAIN), *bar, (" " * (room - used), PLAIN), (f" {text:>{value_width}}", PLAIN)))
    if len(lines) > height > 0:
        hidden = len(lines) - height + 1
        return (*lines[: height - 1], ((f"and {hidden} more", QUIET),))
    return tuple(lines[: max(height, 0)])


def _rows_each(plot: Plot) -> int:
    return 1 if plot.stacked else max(len(plot.series), 1)


def _rows(plot: Plot) -> list[list[tuple[int, float]]]:
    """Rows from top to bottom, each the (series, value) pairs that make it up."""
    count = len(plot.categories)
    if plot.stacked:
        return [[(index, _at(series.y, row)) for index, series in enumerate(plot.series)] for row in range(count)]
    return [[(index, _at(series.y, row))] for row in range(count) for index, series in enumerate(plot.series)]


def _at(values: tuple[float, ...], index: int) -> float:
    return values[index] if index < len(values) and abs(values[index]) <= LARGEST else math.nan


def _greatest(plot: Plot) -> float:
    if plot.y_limits is not None:
        return max(plot.y_limits[1], 1e-300)
    totals = [sum(value for _, value in row if math.isfinite(value) and value > 0) for row in _rows(plot)]
    return max([*totals, 1e-300])


def _value_text(plot: Plot, row: list[tuple[int, float]]) -> str:
    finite = [value for _, value in row if math.isfinite(value)]
    if not finite:
        return "n/a"
    return f"{short(sum(finite))} {plot.y_unit}".rstrip()


def _bar(row: list[tuple[int, float]], top: float, room: int) -> list[Run]:
    """Cells of one row; the edges between stacked parts are rounded so that the whole keeps its length."""
    parts: list[Run] = []
    total = 0.0
    cells = 0
    for index, value in row:
        if not math.isfinite(value) or value <= 0:
            continue
        total += value
        share = min(total / top, 1.0) * room
        fill = FILLS[index % len(FILLS)]
        if len(row) == 1 and index == 0:
            whole, eighth = divmod(round(share * 8), 8)
            text = fill * whole + (EIGHTHS[eighth] if eighth else "")
            return [(text or EIGHTHS[1], SERIES + index)]
        end = max(round(share), cells)
        if end > cells:
            parts.append((fill * (end - cells), SERIES + index))
        cells = end
    return parts

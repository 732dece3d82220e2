"""The charts of a run's page: the course of each figure, and what the result holds to be drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from core.measure.units import number, size
from core.runs.export.gather import Exported, Series
from core.runs.export.svg import Point, bar_chart, line_chart, scatter_chart, stacked_chart
from core.runs.figures import figure, show, writer
from core.sanitize import clean

Chart = tuple[str, str]


def charts(exported: Exported) -> Iterator[Chart]:
    """(title, SVG) of every chart; data in the result that is not as its chart expects is passed over."""
    drawn = exported.result.get("charts")
    sources: list[tuple[Callable[[Any], Chart], Any]] = [(draw, exported.result.get("rows")) for draw in _OF_ROWS]
    sources += [(draw, drawn[name]) for name, draw in _OF_RESULT.items() if isinstance(drawn, dict) and name in drawn]
    for draw, data in sources:
        try:
            yield draw(data)
        except (KeyError, TypeError, ValueError, IndexError):
            continue
    held = exported.result.get("rows")
    rows: list[Any] = held if isinstance(held, list) else []
    drawn_above: set[str] = set(rows[0]) if rows and isinstance(rows[0], dict) else set()
    for series in exported.series:
        if series.name not in drawn_above and sum(point.value is not None for point in series.points) > 1:
            yield _capital(series.title), _course(series, [_name(row) for row in rows])


def _name(row: Any) -> str:
    named = row if isinstance(row, dict) else {}
    return clean(str(named.get("title") or named.get("name") or named.get("scheme") or ""), limit=60)


def _course(series: Series, names: list[str]) -> str:
    """One line, or one for each time that the steps begin anew, named after the result's rows where there are as many."""
    laps: list[list[Point]] = []
    before: int | None = None
    same = len({point.step for point in series.points}) == 1
    for index, point in enumerate(series.points):
        if before is None or (point.step < before and not same):
            laps.append([])
        before = point.step
        if point.value is not None:
            place = float(index if same else point.step)
            laps[-1].append(Point(place, point.value, f"{point.label or point.step}: {show(series.name, point.value)}"))
    if len(names) != len(laps):
        names = [f"pass {turn}" for turn in range(1, len(laps) + 1)]
    lines = [(name, lap) for name, lap in zip(names, laps, strict=True) if lap]
    return line_chart(lines, x="step", y=series.title, show=writer(figure(series.name)))


def _byte_unit(most: float) -> float:
    return float(1024 ** max(math.floor(math.log(most, 1024)), 0)) if most >= 1 else 1.0


def _rows(name: str) -> Callable[[Any], Chart]:
    """Bars of one figure of the result's rows."""

    def draw(rows: Any) -> Chart:
        bars = [(_name(row), float(row[name])) for row in rows]
        if len(bars) < 2:
            raise ValueError(name)
        unit = _byte_unit(max(value for _, value in bars)) if figure(name).unit == "byte" else 1.0
        return _capital(figure(name).title), bar_chart(bars, y=figure(name).title, show=writer(figure(name)), unit=unit)

    return draw


def _histogram(data: Any) -> Chart:
    edges = [float(edge) for edge in data["edges"]]
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    lines = [
        (name, [Point(x, float(count), number(count)) for x, count in zip(centres, data[key], strict=True)])
        for name, key in (("original", "original"), (clean(str(data["dequantized_title"])), "dequantized"))
    ]
    return f"Weights of {clean(str(data['linear']))}", line_chart(lines, x="weight", y="count", show=number)


def _scatter(data: Any) -> Chart:
    original = [float(value) for value in data["original"]]
    clouds = [
        (clean(str(series["title"])), [Point(x, float(y)) for x, y in zip(original, series["values"], strict=True)]) for series in data["dequantized"]
    ]
    return f"Original against dequantized weights of {clean(str(data['linear']))}", scatter_chart(clouds, x="original", y="dequantized")


def _granularity(data: Any) -> Chart:
    names = [clean(str(name)) for name in data["linears"]]
    lines = [
        (
            f"a scale a {key}",
            [Point(float(index), float(value), f"{name}: {value:.4g}") for index, (name, value) in enumerate(zip(names, data[key], strict=True))],
        )
        for key in ("channel", "tensor")
    ]
    return f"Error of each linear, {int(data['bits'])} bits: per channel and per tensor", line_chart(lines, x="linear", y="relative error")


def _memory(data: Any) -> Chart:
    parts = ("codes", "scales", "kept")
    bars = [(clean(str(bar["title"])), [float(bar[part]) for part in parts]) for bar in data]
    if not bars:
        raise ValueError("no bars")
    unit = _byte_unit(max(sum(values) for _, values in bars))
    return "Memory, scales counted", stacked_chart(
        bars, ("codes", "scales and zero points", "kept in full precision"), y="size", show=size, unit=unit
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_OF_ROWS = (_rows("ppl_ratio"), _rows("relative_error"), _rows("bytes"))
_OF_RESULT: dict[str, Callable[[Any], Chart]] = {
    "histogram": _histogram,
    "scatter": _scatter,
    "granularity": _granularity,
    "memory": _memory,
}

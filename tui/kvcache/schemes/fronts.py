"""Memory against quality of the schemes, as charts with a letter for each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.kvcache.result import KvCacheResult
from core.result import Better, Figure
from core.runs.pareto import on_front
from core.sanitize import clean
from tui.kvcache.schemes.columns import FRONT, FULL
from tui.kvcache.schemes.entries import Entry
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.live import Line, fit


@dataclass(frozen=True)
class Measure:
    """A figure of quality or speed to draw against the bytes of a token."""

    name: str
    """Of the figure in a row."""
    tell: Callable[[float], str] = lambda value: words.figure(value, 3)
    called: str = ""
    """Where the chart has another name for it than the result."""

    @property
    def figure(self) -> Figure:
        return KvCacheResult.figure_table()[self.name]

    @property
    def title(self) -> str:
        return self.called or self.figure.quantity

    @property
    def better(self) -> Better:
        return self.figure.better

    @property
    def unit(self) -> str:
        """Of the axis; a share is drawn in percent."""
        return {"share": "%", "nat": "nats"}.get(self.figure.unit, self.figure.unit)

    def of(self, entry: Entry) -> float | None:
        """The figure of a row; None where it cannot be compared with the others."""
        unlike = entry.elsewhere if self.name == "tpot_ms" else entry.foreign
        value = words.number(getattr(entry.row, self.name))
        return None if value is None or unlike else value * (100 if self.figure.unit == "share" else 1)


MEASURES = (
    Measure("ppl_ratio", lambda value: f"{value:.4f}"),
    Measure("kl_mean"),
    Measure("top1_agreement", lambda value: f"{value:.1f} %"),
    Measure("needle_rate", lambda value: f"{value:.0f} %", "needle found"),
    Measure("tpot_ms", lambda value: f"{words.figure(value, 3)} ms", "time per token"),
)


def placed(entries: Sequence[Entry], measure: Measure) -> list[tuple[Entry, float, float]]:
    """(row, bytes of a token, figure) of those that have both, the smallest first."""
    found = [(entry, words.number(entry.row.bytes_per_token), measure.of(entry)) for entry in entries]
    known = [(entry, size, value) for entry, size, value in found if size is not None and value is not None]
    return sorted(known, key=lambda each: (each[1], each[2] if measure.better == "lower" else -each[2]))


def front(points: Sequence[tuple[Entry, float, float]], measure: Measure) -> list[tuple[Entry, float, float]]:
    """Those that nothing beats, the smallest first; of equals the first."""
    marks = on_front([(size, value) for _, size, value in points], measure.better)
    kept: dict[tuple[float, float], tuple[Entry, float, float]] = {}
    for point, mark in zip(points, marks, strict=True):
        if mark:
            kept.setdefault(point[1:], point)
    return list(kept.values())


def plot(entries: Sequence[Entry], measure: Measure) -> Plot:
    """Every row by its letter, and the front as a staircase."""
    points = placed(entries, measure)
    xs: list[float] = []
    ys: list[float] = []
    for _, size, value in front(points, measure):
        if ys:
            xs.append(size)
            ys.append(ys[-1])
        xs.append(size)
        ys.append(value)
    series = [Series.of(ys, xs, stroke="line")]
    series += [Series.of([value], [size], mark=entry.letter or "·") for entry, size, value in points]
    return Plot(
        kind="scatter",
        title=f"{measure.title} against bytes per token",
        series=tuple(series),
        x_label="bytes per token of text",
        y_unit=measure.unit,
        log_x=True,
        empty="no comparable measurements",
    )


def legend(entries: Sequence[Entry], measure: Measure, width: int, several: bool) -> list[Line]:
    """One line a row of the chart: letter, scheme, bytes of a token, figure."""
    points = placed(entries, measure)
    best = {entry.key for entry, _, _ in front(points, measure)}
    lines: list[Line] = []
    name = max(width - 25 - (10 if several else 0), 6)
    for entry, size, value in points:
        sign = FULL if entry.is_reference else FRONT if entry.key in best else " "
        run = f"{entry.when:<10}" if several else ""
        text = f"{fit(clean(entry.row.name), name)}{run}{words.count(size):>8}{measure.tell(value):>12}"
        lines.append(((f"{entry.letter or '·'}{sign} ", "accent"), (text, "strong" if entry.is_reference else "")))
    return lines

"""Size against quality over all runs of a model: table rows, chart, and why a run is or is not worth its size. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.runs.pareto import Pareto, Point, Quality
from core.sanitize import clean
from tui.experiment.sentences import convention
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

ON, BEATEN = "◆", "·"


@dataclass(frozen=True)
class Measure:
    """A figure of quality to draw against bits per weight."""

    metric: Quality
    label: str
    original: float
    """What the unquantized model has."""
    unit: str = ""

    def text(self, value: float, error: float | None = None) -> str:
        """A value as a user reads it."""
        return words.plus_minus(words.figure(value, 4 if value >= 1 else 3), error)


MEASURES = (Measure("kl_mean", "KL divergence", 0.0, "nats"), Measure("ppl_ratio", "perplexity ratio", 1.0))

COLUMNS: tuple[tuple[str, int], ...] = (("", 2), ("quantization", 26), ("bits/w", 8), ("quality", 22))
"""Title and width, the gap to the next column included; the last is headed by the measure."""


def cells(point: Point, measure: Measure) -> tuple[str, ...]:
    """One row."""
    return (ON if point.on_frontier else BEATEN, point.title, words.figure(point.size, 3), measure.text(point.quality, point.error))


def plot(found: Pareto, chosen: Point | None, measure: Measure) -> Plot:
    """Every run by its sign, and the frontier as a staircase: what lies above it is beaten."""
    series = [Series.of(*_staircase(found.frontier), label=f"frontier {ON}", stroke="line")]
    groups = (
        ("one width", [point for point in found.points if point.method != "mixed" and point is not chosen]),
        ("mixed", [point for point in found.points if point.method == "mixed" and point is not chosen]),
        ("under the cursor", [chosen] if chosen is not None else []),
    )
    series += [Series.of([point.quality for point in points], [point.size for point in points], label=label) for label, points in groups]
    return Plot(
        kind="scatter",
        series=tuple(series),
        title=f"{measure.label} against bits per weight",
        x_label="bits per weight",
        y_unit=measure.unit,
        empty="no run of this model has been evaluated yet",
    )


def explained(found: Pareto, point: Point, measure: Measure) -> str:
    """Why a point is on the frontier, or what beats it."""
    if not point.on_frontier:
        return _beaten(found, point, measure)
    at = found.frontier.index(point)
    text = f"{ON} on the Pareto front: no run is as small and better."
    if at > 0:
        smaller = found.frontier[at - 1]
        text += f" {clean(smaller.title)} saves {_bits(point.size - smaller.size)} more for {_change(point, smaller, measure)}."
    if at + 1 < len(found.frontier):
        larger = found.frontier[at + 1]
        text += f" {clean(larger.title)} takes {_bits(larger.size - point.size)} more for {_change(point, larger, measure)}."
    return text


def how(found: Pareto) -> list[tuple[str, str]]:
    """How the points were measured, and what was left out."""
    rows = [("measured on", convention(found.convention))] if found.convention else []
    return [*rows, *(("", note) for note in found.notes)]


def _beaten(found: Pareto, point: Point, measure: Measure) -> str:
    better = [other for other in found.frontier if other.size <= point.size and other.quality <= point.quality]
    if not better:
        return f"{BEATEN} not on the Pareto front"
    best = min(better, key=lambda other: (other.quality, other.size))
    saved = f"{_bits(point.size - best.size)} smaller" if best.size < point.size else "as small"
    gained = _change(point, best, measure) if best.quality < point.quality else "as good"
    return f"{BEATEN} beaten by {clean(best.title)}: {saved}, {gained}."


def _bits(difference: float) -> str:
    return f"{words.figure(difference, 2)} bits per weight"


def _change(of: Point, to: Point, measure: Measure) -> str:
    difference = to.quality - of.quality
    return f"{measure.label} {'+' if difference > 0 else ''}{words.figure(difference, 2)}{f' {measure.unit}' if measure.unit else ''}"


def _staircase(frontier: tuple[Point, ...]) -> tuple[list[float], list[float]]:
    """(y, x) of a line that keeps a point's quality until the next larger one improves it."""
    ys: list[float] = []
    xs: list[float] = []
    for point in frontier:
        if ys:
            ys.append(ys[-1])
            xs.append(point.size)
        ys.append(point.quality)
        xs.append(point.size)
    return ys, xs

"""Size against quality over all runs of a model: table rows, chart, and why a run is or is not worth its size. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from core.runs.pareto import Pareto, Point, Quality
from core.sanitize import clean
from tui.experiment.sentences import convention
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

ON, BEATEN, SCRATCH = "◆", "·", "○"
_GROUPS = {"prune": "pruned", "distill": "distilled"}
"""Capability -> its points in the legend; those of quantizations are distinguished by their widths."""


@dataclass(frozen=True)
class Measure:
    """A figure of quality to draw against bits per weight."""

    metric: Quality
    label: str
    original: float
    """What the original model has."""
    unit: str = ""

    def text(self, value: float, error: float | None = None) -> str:
        """A value as a user reads it."""
        return words.plus_minus(words.figure(value, 4 if value >= 1 else 3), error)


MEASURES = (Measure("kl_mean", "KL divergence", 0.0, "nats"), Measure("ppl_ratio", "perplexity ratio", 1.0))

COLUMNS: tuple[tuple[str, int], ...] = (("", 2), ("recipe", 26), ("bits/w", 8), ("quality", 22))
"""Title and width, the gap to the next column included; the last is headed by the measure."""


def cells(point: Point, measure: Measure) -> tuple[str, ...]:
    """One row."""
    sign = ON if point.on_frontier else BEATEN if point.checkpoint else SCRATCH
    title = point.title if point.runs == 1 else f"{point.title} ×{point.runs}"
    return (sign, title, words.figure(point.size, 3), measure.text(point.quality, point.error))


def plot(found: Pareto, chosen: Point | None, measure: Measure) -> Plot:
    """Every run by its sign, those without a checkpoint hollow, and the frontier as a staircase: what lies above it is beaten."""
    series = [Series.of(*_staircase(found.frontier), label=f"frontier {ON}", stroke="line")]
    groups: dict[str, list[Point]] = {
        "one width": [],
        "mixed": [],
        "under the cursor": [] if chosen is None else [chosen],
        "pruned": [],
        "distilled": [],
    }
    for point in found.points:
        if point.checkpoint and point is not chosen:
            groups[_GROUPS.get(point.capability) or ("mixed" if point.method == "mixed" else "one width")].append(point)
    for label in _GROUPS.values():
        if not groups[label]:
            del groups[label]
    for label, points in groups.items():
        series.append(Series.of([point.quality for point in points], [point.size for point in points], label=label if points else ""))
    if scratch := [point for point in found.points if not point.checkpoint and point is not chosen]:
        series.append(Series.of([point.quality for point in scratch], [point.size for point in scratch], label="no checkpoint", mark=SCRATCH))
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
    if not point.checkpoint:
        return f"{SCRATCH} a row of a comparison, which kept no checkpoint: not on the front, and it beats no run."
    if not point.on_frontier:
        return _beaten(found, point, measure)
    text = f"{ON} on the Pareto front: no run is as small and better."
    smaller = [other for other in found.frontier if other.size < point.size]
    larger = [other for other in found.frontier if other.size > point.size]
    if alike := [other for other in found.frontier if other is not point and other.size == point.size]:
        text += f" As small, and different by noise alone: {', '.join(clean(other.title) for other in alike)}."
    if smaller:
        text += f" {clean(smaller[-1].title)} saves {_bits(point.size - smaller[-1].size)} more for {_change(point, smaller[-1], measure)}."
    if larger:
        text += f" {clean(larger[0].title)} takes {_bits(larger[0].size - point.size)} more for {_change(point, larger[0], measure)}."
    return text


def how(found: Pareto) -> list[tuple[str, str]]:
    """How the points were measured, and what was left out."""
    rows = [("measured on", convention(found.convention))] if found.convention else []
    return [*rows, *(("", note) for note in found.notes)]


def _beaten(found: Pareto, point: Point, measure: Measure) -> str:
    better = [other for other in found.points if other.beats(point)]
    if not better:
        return f"{BEATEN} not on the Pareto front"
    best = min(better, key=lambda other: (not other.on_frontier, other.quality, other.size))
    saved = f"{_bits(point.size - best.size)} smaller" if best.size < point.size else "as small"
    gained = _change(point, best, measure) if point.quality - best.quality > point.noise(best) else "as good within noise"
    return f"{BEATEN} beaten by {clean(best.title)}: {saved}, {gained}."


def _bits(difference: float) -> str:
    return f"{words.figure(difference, 2)} bits per weight"


def _change(of: Point, to: Point, measure: Measure) -> str:
    difference = to.quality - of.quality
    return f"{measure.label} {'+' if difference > 0 else ''}{words.figure(difference, 2)}{f' {measure.unit}' if measure.unit else ''}"


def _staircase(frontier: tuple[Point, ...]) -> tuple[list[float], list[float]]:
    """(y, x) of a line that keeps a point's quality until the next larger one improves it; what is on the front by noise alone bends no line."""
    ys: list[float] = []
    xs: list[float] = []
    for point in frontier:
        if ys and point.quality >= ys[-1]:
            continue
        if ys:
            ys.append(ys[-1])
            xs.append(point.size)
        ys.append(point.quality)
        xs.append(point.size)
    return ys, xs

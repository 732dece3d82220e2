"""Outcomes of one model beside each other: table rows and the chart of size against quality. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tui.quantize.outcome import Outcome
from tui.widgets import words
from tui.widgets.plot import Plot, Series

COLUMNS: tuple[tuple[str, int], ...] = (
    ("recipe", 24),
    ("bits/w", 6),
    ("size", 7),
    ("ppl", 7),
    ("ratio", 6),
    ("KL", 8),
    ("top-1", 7),
)
"""Title and width."""


@dataclass(frozen=True)
class Measure:
    """A figure that the chart can draw against bits per weight."""

    metric: str
    label: str
    unit: str = ""


MEASURES = (Measure("kl_mean", "KL divergence", "nats"), Measure("ppl_after", "perplexity"), Measure("top1_agreement", "top-1 agreement"))


def cells(outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
    """One row; a quality figure under another convention than the reference's is marked, as it cannot be compared."""
    foreign = "≠" if outcome.convention is not None and outcome.convention != reference.convention else ""
    return (
        outcome.recipe,
        words.figure(outcome.number("bits_per_weight"), 3),
        words.size(outcome.number("bytes_after")),
        foreign + words.figure(outcome.number("ppl_after")),
        words.figure(outcome.number("ppl_ratio")),
        foreign + words.figure(outcome.number("kl_mean"), 3),
        words.percent(outcome.number("top1_agreement")),
    )


def plot(outcomes: Sequence[Outcome], chosen: Outcome, measure: Measure) -> Plot:
    """Bits per weight against a quality figure: the chosen run apart from the others of the same convention."""
    others = [outcome for outcome in outcomes if outcome.convention == chosen.convention and outcome.run_id != chosen.run_id]
    series = tuple(
        Series.of([point[1] for point in points], [point[0] for point in points], label=label)
        for label, group in (("this run", [chosen]), ("other runs", others))
        if (points := _points(group, measure))
    )
    return Plot(
        kind="scatter",
        series=series,
        title=f"{measure.label} against bits per weight",
        x_label="bits per weight",
        y_label=measure.label,
        y_unit=measure.unit,
        empty="no run of this model was evaluated yet",
    )


def _points(outcomes: Sequence[Outcome], measure: Measure) -> list[tuple[float, float]]:
    pairs = ((outcome.number("bits_per_weight"), outcome.number(measure.metric)) for outcome in outcomes)
    return [(x, y) for x, y in pairs if x is not None and y is not None]

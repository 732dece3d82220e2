"""Outcomes of one model beside each other: table rows and the chart of size against quality. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tui.quantize.outcome import Outcome
from tui.widgets import words
from tui.widgets.plot import Plot, Series

COLUMNS: tuple[tuple[str, int], ...] = (
    ("recipe", 20),
    ("bits/w", 7),
    ("size", 9),
    ("ppl", 7),
    ("ratio", 7),
    ("KL", 8),
    ("top-1", 7),
)
"""Title and width, the gap to the next column included."""


@dataclass(frozen=True)
class Measure:
    """A figure that the chart can draw against bits per weight."""

    metric: str
    label: str
    original: float | str
    """What the unquantized model has: a value, or the metric that holds it."""
    unit: str = ""

    def of_original(self, outcome: Outcome) -> float | None:
        """The unquantized model's figure as this run measured it."""
        return outcome.number(self.original) if isinstance(self.original, str) else self.original


MEASURES = (
    Measure("kl_mean", "KL divergence", 0.0, "nats"),
    Measure("ppl_after", "perplexity", "ppl_before"),
    Measure("top1_agreement", "top-1 agreement", 1.0),
)


def cells(outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
    """One row; a quality figure under another convention than the reference's is marked, as it cannot be compared."""
    foreign = "≠" if outcome.convention is not None and outcome.convention != reference.convention else ""
    return (
        outcome.recipe.replace(" bit ", " ").replace("per ", ""),
        words.figure(outcome.number("bits_per_weight"), 3),
        words.size(outcome.number("bytes_after")),
        foreign + words.figure(outcome.number("ppl_after")),
        words.figure(outcome.number("ppl_ratio")),
        foreign + words.figure(outcome.number("kl_mean"), 2),
        words.percent(outcome.number("top1_agreement"), 1),
    )


def plot(outcomes: Sequence[Outcome], chosen: Outcome, measure: Measure) -> Plot:
    """Bits per weight against a quality figure: the chosen run apart from the others of the same convention, above the original's level."""
    others = [outcome for outcome in outcomes if outcome.convention == chosen.convention and outcome.run_id != chosen.run_id]
    this, rest = _points([chosen], measure), _points(others, measure)
    level = measure.of_original(chosen)
    places = [x for x, _ in this + rest]
    series: tuple[Series, ...] = ()
    if places and level is not None:
        series += (Series.of([level, level], [min(places) - 0.2, max(places) + 0.2], label="original", stroke="line"),)
    series += tuple(
        Series.of([y for _, y in points], [x for x, _ in points], label=label)
        for label, points in (("other runs", rest), ("this run", this))
        if points
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

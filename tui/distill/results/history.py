"""Outcomes of one teacher as rows of a table. Pure."""

from __future__ import annotations

from tui.distill.results.outcome import Outcome
from tui.widgets import words
from tui.widgets.card_facts import millions

COLUMNS: tuple[tuple[str, int], ...] = (
    ("recipe", 25),
    ("steps", 6),
    ("params", 8),
    ("ppl", 8),
    ("KL", 8),
    ("top-1", 8),
    ("gap", 8),
)
"""Title and width, the gap to the next column included."""


def cells(outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
    """One row; a quality figure under another convention than the reference's is marked, as it cannot be compared."""
    foreign = "≠" if outcome.convention is not None and outcome.convention != reference.convention else ""
    metrics = outcome.metrics
    return (
        outcome.recipe,
        words.count(metrics.steps),
        millions(metrics.parameters_after),
        foreign + words.figure(metrics.ppl_after),
        foreign + words.figure(metrics.kl_mean, 3),
        words.percent(metrics.top1_agreement, 1),
        words.percent(metrics.gap_closed, 1),
    )

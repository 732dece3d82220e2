"""Outcomes of one model as rows of a table. Pure."""

from __future__ import annotations

from tui.quantize.results.outcome import Outcome
from tui.widgets import words

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


def cells(outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
    """One row; a quality figure under another convention than the reference's is marked, as it cannot be compared."""
    foreign = "≠" if outcome.convention is not None and outcome.convention != reference.convention else ""
    return (
        outcome.recipe.replace(" bit ", " ").replace("per ", ""),
        words.figure(outcome.metrics.bits_per_weight, 3),
        words.size(outcome.metrics.bytes_after),
        foreign + words.figure(outcome.metrics.ppl_after),
        words.figure(outcome.metrics.ppl_ratio),
        foreign + words.figure(outcome.metrics.kl_mean, 2),
        words.percent(outcome.metrics.top1_agreement, 1),
    )

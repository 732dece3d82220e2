"""Outcomes of one model as rows of a table. Pure."""

from __future__ import annotations

import re

from tui.prune.results.outcome import Outcome
from tui.widgets import words

COLUMNS: tuple[tuple[str, int], ...] = (
    ("recipe", 21),
    ("removed", 8),
    ("size", 9),
    ("ppl", 7),
    ("KL", 7),
    ("top-1", 7),
    ("decode", 7),
)
"""Title and width, the gap to the next column included."""


_PATTERN = re.compile(r"keep (\d+) of (\d+)")


def cells(outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
    """One row; a quality figure under another convention than the reference's is marked, as it cannot be compared."""
    foreign = "≠" if outcome.convention is not None and outcome.convention != reference.convention else ""
    metrics = outcome.metrics
    return (
        short(outcome.recipe),
        words.percent(metrics.sparsity, 1),
        words.size(metrics.bytes_after),
        foreign + words.figure(metrics.ppl_after),
        foreign + words.figure(metrics.kl_mean, 2),
        words.percent(metrics.top1_agreement, 1),
        times(metrics.decode_speedup),
    )


def short(recipe: str) -> str:
    """What was asked, in few columns: `wanda 2:4`."""
    return _PATTERN.sub(r"\1:\2", recipe)


def times(ratio: float | None) -> str:
    """A speed-up as `1.42x`."""
    text = words.figure(ratio, 3)
    return text if text == words.NOTHING else f"{text}x"

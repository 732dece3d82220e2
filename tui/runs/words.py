"""How runs are spoken about: states and times; their figures are those of `core.runs.figures`."""

from __future__ import annotations

from datetime import datetime

MARKS = {"queued": "○", "running": "●", "done": "✓", "failed": "✗", "cancelled": "–"}
"""A sign for each state, so that colour is never needed to tell them apart."""

STYLES = {"queued": "$text-muted", "running": "bold $accent", "done": "$text-success", "failed": "bold $text-error", "cancelled": "$text-warning"}


def when(stamp: float, now: float) -> str:
    """The local time, with the date when it was not today."""
    then = datetime.fromtimestamp(stamp).astimezone()
    today = datetime.fromtimestamp(now).astimezone().date()
    return then.strftime("%H:%M:%S" if then.date() == today else "%m-%d %H:%M" if then.year == today.year else "%Y-%m-%d")

"""How far a student has come from where it began to its teacher, as a line. Pure."""

from __future__ import annotations

from tui.widgets import words
from tui.widgets.chart.strip import meter
from tui.widgets.live import Line, Tone

_LONGEST = 40
_TEXT = 34


def gap_line(closed: float | None, error: float | None, width: int) -> Line:
    """A bar from the untrained student at its left end to the teacher at its right."""
    if closed is None:
        return (("no gap: the untrained student is as good as its teacher", "muted"),)
    bar = min(max(width - _TEXT, 8), _LONGEST)
    text = words.plus_minus(f"{100 * closed:.1f}", error, scale=100)
    tone: Tone = "good" if closed > 0 else "bad"
    return (("gap closed ", ""), (meter(100 * max(closed, 0.0), bar), tone), (f"▏ {text} %", "strong"))

"""What is known about one run, as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from textual.content import Content

from core.measure.units import duration
from core.runs import figures as names
from core.runs.figures import show
from core.sanitize import clean
from tui.runs.rows import RunRow, figures
from tui.runs.words import STYLES
from tui.widgets.progress import bar

if TYPE_CHECKING:
    from core.runs.state.state import Position, State
    from core.runs.state.store import Run


def detail(row: RunRow, now: float, width: int) -> Content:
    """State, reason, place, what was asked and what was measured. Reads the disk: call it off the event loop."""
    state = row.state
    lines = [
        Content.assemble((f"{row.status}", STYLES[state.status]), f"  {row.what}"),
        Content(f"{row.id}"),
    ]
    if state.progress is not None and not state.is_over:
        lines.append(Content.assemble(done(state.progress, max(8, min(30, width - 40))), f"  {row.took}{left_over(state, now)}"))
        lines.append(Content.styled(clean(state.progress.label, limit=max(width - 1, 20)), "$text-muted"))
    if state.exit_reason:
        lines.append(Content.styled(clean(state.exit_reason, limit=400), STYLES[state.status]))
    column = 28 if width >= 64 else 20
    lines += _measured(row.run) + _asked(row.run, column) + _places(row.run)
    return Content("\n").join(lines)


def left_over(state: State, now: float) -> str:
    """`, about 2 min left`; nothing while a twentieth is not done, when the pace says little."""
    left = state.seconds_left(now)
    if left is None or state.progress is None or state.progress.fraction < 0.05:
        return ""
    return f", about {duration(left)} left"


def done(position: Position, width: int) -> Content:
    """A bar of `width` cells and the share that is done."""
    return Content.assemble(bar(position.fraction, width), f" {position.fraction:4.0%}")


def _measured(run: Run) -> list[Content]:
    found = figures(run.result)
    if not found:
        return []
    return [
        Content.styled("\nMeasured", "bold $primary"),
        *(Content.assemble(f"{show(name, value):>12}  ", (names.figure(name).title, "$text-muted")) for name, value in found.items()),
    ]


def _asked(run: Run, column: int) -> list[Content]:
    values = run.values
    if not values:
        return []
    pairs = [
        _pair(clean(name, limit=40).replace("_", "-"), clean(value if isinstance(value, str) else json.dumps(value), limit=120), column)
        for name, value in values.items()
    ]
    return [Content.styled("\nAsked", "bold $primary"), *pairs]


def _places(run: Run) -> list[Content]:
    lines = [Content.styled("\nFiles", "bold $primary"), Content(clean(str(run.path)))]
    return lines + [Content(clean(str(path))) for path in artifacts(run)]


def artifacts(run: Run) -> list[str]:
    """Paths that the run says it has made, the newest last."""
    from core.runs.state.events import Artifact

    return [event.path for event in run.events if isinstance(event, Artifact)]


def _pair(name: str, value: str, column: int) -> Content:
    return Content.assemble((f"{name:<{column}} ", "$text-muted"), value)

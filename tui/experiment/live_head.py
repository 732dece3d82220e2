"""The lines above a live run: what it is, how far, how long yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from core.runs.launch.resume import resumable
from core.runs.state.state import State
from core.runs.state.store import Run
from core.sanitize import clean
from tui.experiment.progress import RunProgress
from tui.runs.words import MARKS, STYLES
from tui.widgets import words
from tui.widgets.progress import bar

_STATUS = {"queued": "waiting for its worker", "running": "runs", "done": "done", "failed": "failed", "cancelled": "cancelled"}
_SHORTEST_BAR = 8
_RESUME = "r resumes it from its last finished block"


def heading(run: Run, title: str, state: State, progress: RunProgress, now: float, width: int, so_far: Sequence[tuple[str, str]] = ()) -> Content:
    """Title and state, then progress, or how it ended; figures that are known already in a last line.

    Args:
        run: whose id is shown at the right end.
        title: what was asked for, in a few words.
        state: of the run.
        progress: its progress and metrics.
        now: seconds since 1970.
        width: columns.
        so_far: (name of a metric, label) of the figures in the last line.
    """
    head = Content.assemble((title, "bold"), "  ", (f"{MARKS[state.status]} {_STATUS[state.status]}", STYLES[state.status]))
    gap = width - head.cell_length - len(run.id)
    lines = [Content.assemble(head, " " * gap if gap > 1 else "\n", (run.id, "dim"))]
    if state.is_over:
        reason = f": {clean(state.exit_reason)}" if state.exit_reason and state.exit_reason != state.status else ""
        lines.append(Content(f"{_STATUS[state.status]} after {words.duration(state.seconds(now))}{reason}"))
        if resumable(run, state):
            lines.append(Content.styled(_RESUME, "dim"))
    else:
        lines.extend(_progress(state, progress, now, width))
    if known := [f"{label} {words.figure(progress.metrics[name])}" for name, label in so_far if name in progress.metrics]:
        lines.append(Content(", ".join(known)))
    return Content("\n").join(lines)


def _progress(state: State, progress: RunProgress, now: float, width: int) -> list[Content]:
    step = progress.progress
    elapsed = words.duration(state.seconds(now))
    if step is None or step.total <= 0:
        return [Content(f"{elapsed} so far, the worker is preparing" if state.started else "the worker is starting")]
    left = progress.seconds_left(now)
    ends = f"about {words.duration(left)} left" if left is not None else "time left not known yet"
    share = f" {step.done / step.total:4.0%}  "
    longer = (f"{share}{step.done} of {step.total}  {elapsed}, {ends}", f"{share}{elapsed}, {ends}")
    figures = next((text for text in longer if _SHORTEST_BAR + len(text) < width), share + ends)
    return [
        Content.assemble(bar(step.done / step.total, max(min(width - len(figures) - 1, 40), _SHORTEST_BAR)), figures),
        Content.styled(clean(step.label, limit=width), "dim"),
    ]

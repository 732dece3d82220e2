"""Notices when runs begin and end, whoever started them, from this terminal or another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from tui.services.over import Over

if TYPE_CHECKING:
    from core.runs.state.state import State
    from core.runs.state.store import Run
    from tui.services.services import Runs

INTERVAL = 1.0
"""Seconds between two looks."""


@dataclass
class RunEvent(Message):
    """Something happened to a run. Panes that have `on_run_event(event)` get it."""

    run_id: str


@dataclass
class RunStarted(RunEvent):
    """A run is in progress that was not before."""


@dataclass
class RunEnded(RunEvent):
    """A run is over: `status` is done, failed or cancelled; `summary` is a sentence for the user."""

    status: str
    summary: str


@dataclass(frozen=True)
class Activity:
    """What is running now, for the top line."""

    text: str = ""


class RunWatcher:
    """Looks off the event loop, whenever `look` is called. Runs that are over are read once, and again only when they go on.

    Args:
        runs: where to look.
        tell: gets each event, on the event loop.
        show: gets the activity line whenever it changes.
    """

    def __init__(self, runs: Runs, tell: Callable[[RunEvent], None], show: Callable[[Activity], None]) -> None:
        self._runs = runs
        self._tell = tell
        self._show = show
        self._over = Over()
        self._open: dict[str, Run] = {}
        self._activity = Activity()
        self._looked = False
        self._looking = False

    async def look(self) -> None:
        if self._looking:
            return
        self._looking = True
        try:
            events, activity = await asyncio.to_thread(self._changes)
        finally:
            self._looking = False
        for event in events:
            self._tell(event)
        if activity != self._activity:
            self._activity = activity
            self._show(activity)

    def _changes(self) -> tuple[list[RunEvent], Activity]:
        events: list[RunEvent] = []
        going: list[tuple[Run, State]] = []
        for run in self._runs.list_runs():
            if self._over.knows(run):
                continue
            state = self._runs.state(run)
            self._over.note(run, state)
            if state.is_over:
                if self._open.pop(run.id, None) is not None or self._looked:
                    events.append(RunEnded(run.id, state.status, summary(run, state)))
                continue
            going.append((run, state))
            if run.id not in self._open:
                self._open[run.id] = run
                events.append(RunStarted(run.id))
        self._looked = True
        return events, Activity(_line(going))


def summary(run: Run, state: State) -> str:
    """One sentence about a run that is over."""
    from core.measure.units import duration

    what = f"{run.capability} of {run.model}"
    seconds = state.seconds(state.ended or 0.0)
    if state.status == "done":
        return f"{what} is done" + (f" after {duration(seconds)}." if seconds is not None else ".")
    return f"{what} {'was cancelled' if state.status == 'cancelled' else 'failed'}: {state.exit_reason or 'no reason was given'}"


def _line(going: list[tuple[Run, State]]) -> str:
    if not going:
        return ""
    run, state = going[0]
    percent = f" {state.progress.fraction:.0%}" if state.progress is not None else ""
    more = f" +{len(going) - 1}" if len(going) > 1 else ""
    return f"● {run.capability}{percent}{more}"

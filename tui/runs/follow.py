"""One run, live: how far it is, the latest of each figure, what it says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Log, Static

from core.measure.units import duration
from core.runs.figures import figure, show
from core.sanitize import clean
from tui.runs.detail import done, left_over
from tui.runs.rows import what
from tui.runs.words import MARKS, STYLES
from tui.services.services import services_of
from tui.shell.partial_repaint import PartialRepaintScreen
from tui.widgets.hints import Hints
from tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from core.runs.state.events import Event, Metric
    from core.runs.state.state import State
    from core.runs.state.store import Run

INTERVAL = 0.5
"""Seconds between two readings of the events."""


class FollowScreen(PartialRepaintScreen):
    """Progress, figures and log of a run, until it is over and after."""

    HELP = """
    A run in progress. Leaving this screen does not stop the run.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f", "app.pop_screen", "Back", id="follow.back", tooltip="Back to the runs; the run continues"),
    ]
    DEFAULT_CSS = """
    FollowScreen #follow-head { height: auto; max-height: 5; padding: 0 1; border-bottom: solid $panel; }
    FollowScreen #follow-figures { height: auto; max-height: 50%; padding: 0 1; border-bottom: solid $panel; }
    FollowScreen Log, FollowScreen Log:focus { height: 1fr; padding: 0 1; background: $background; }
    FollowScreen.no-figures #follow-figures { display: none; }
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._offset = 0
        self._latest: dict[str, tuple[Metric, int]] = {}
        self._head = Content()
        self._over = False

    def compose(self) -> ComposeResult:
        yield TopBar("Run")
        yield Static(id="follow-head")
        with VerticalScroll(id="follow-figures"):
            yield Static(id="follow-table")
        yield Log(id="follow-log", max_lines=5000)
        yield Hints()

    async def on_mount(self) -> None:
        self.query_one(Log).focus()
        await self._read()
        self.set_interval(INTERVAL, self._read)

    async def _read(self) -> None:
        if self._over:
            return
        events, self._offset, state = await asyncio.to_thread(self._news)
        self._take(events)
        head = self._describe(state)
        if head != self._head:
            self._head = head
            self.query_one("#follow-head", Static).update(head)
        self._over = state.is_over and not events

    def _news(self) -> tuple[list[Event], int, State]:
        state = services_of(self).runs.state(self._run)
        new, offset = self._run.new_events(self._offset)
        return new, offset, state

    def _take(self, events: list[Event]) -> None:
        from core.runs.state.events import Artifact, Metric, StateChange
        from core.runs.state.events import Log as Line

        log = self.query_one(Log)
        for event in events:
            if isinstance(event, Metric):
                self._latest[event.name] = (event, self._latest.get(event.name, (event, 0))[1] + 1)
            elif isinstance(event, Line):
                log.write_line(event.text)
            elif isinstance(event, Artifact):
                log.write_line(f"made {event.kind}: {event.path}")
            elif isinstance(event, StateChange):
                log.write_line(f"{MARKS.get(event.status, '')} {event.status} {event.reason}".strip())
        self.set_class(not self._latest, "no-figures")
        if any(isinstance(event, Metric) for event in events):
            self.query_one("#follow-table", Static).update(self._figures())

    def _figures(self) -> Content:
        lines = []
        for name, (metric, count) in self._latest.items():
            value = "not finite" if metric.value is None else show(name, metric.value)
            where = f"  {metric.label}" if metric.label else ""
            count_of = f"  {count} times" if count > 1 else ""
            lines.append(Content.assemble(f"{value:>12}  ", figure(name).title, (f"{count_of}{where}", "$text-muted")))
        return Content("\n").join(lines)

    def _describe(self, state: State) -> Content:
        seconds = state.seconds(services_of(self).clock())
        took = "" if seconds is None else f"  {duration(seconds)}"
        lines = [
            Content.assemble((f"{MARKS[state.status]} {state.status}", STYLES[state.status]), f"  {what(self._run)}  {self._run.model}{took}"),
            Content.styled(self._run.id, "$text-muted"),
        ]
        if state.progress is not None and not state.is_over:
            rest = left_over(state, services_of(self).clock())
            lines.append(Content.assemble(done(state.progress, 30), f"{rest}  {clean(state.progress.label, limit=60)}"))
        if state.exit_reason:
            lines.append(Content.styled(clean(state.exit_reason, limit=400), STYLES[state.status]))
        return Content("\n").join(lines)

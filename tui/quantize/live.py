"""A run as it goes: progress, time left, the error of each linear as it arrives."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import Static

from core.runs.state import State
from core.runs.store import Run
from core.sanitize import clean
from tui.quantize.arrivals import Arrivals, Row, arrivals
from tui.quantize.follower import Follower
from tui.quantize.live_head import heading
from tui.services import services_of
from tui.widgets.chart import Chart
from tui.widgets.table import Table
from tui.widgets.threads import in_thread

LOOK_EVERY = 0.5
"""Seconds between two looks at a run's events."""

NOTHING = "No run yet. F5 starts one with the settings of the form; it goes on when this program ends."


class LiveView(Vertical):
    """Follows one run at a time."""

    HELP = (
        "A run as it goes: steps done, time left by the pace so far, and the relative error of each linear as it arrives (of its outputs on the "
        "calibration text, or of its weights where the method uses none). A mixed quantization measures first what the whole model loses when one "
        "linear alone gets few bits.\n\nThe run does not need this program: it goes on when the terminal closes. One that was stopped goes on with r."
    )
    DEFAULT_CSS = """
    LiveView { height: 1fr; }
    LiveView .live--head { height: auto; }
    LiveView .live--log { height: auto; max-height: 2; color: $text-muted; }
    LiveView Chart { height: 3fr; min-height: 6; }
    LiveView Table { height: 2fr; min-height: 4; }
    LiveView.-nothing Chart, LiveView.-nothing Table { display: none; }
    """

    @dataclass
    class Heard(Message):
        """The run's state or its events were read anew."""

        run: Run
        state: State

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing")
        self.follower: Follower | None = None
        self._head = Static(NOTHING, classes="live--head", markup=False)
        self._chart = Chart()
        self._table: Table[Text] = Table(cursor_type="row", cell_padding=0)
        self._log = Static(classes="live--log", markup=False)
        self._kind = ("", "")
        self._rows: list[Row] = []
        self._reading = Lock()
        self._texts: dict[Static, Content] = {}

    @property
    def going(self) -> bool:
        """Whether the run that is followed is not over."""
        return self.follower is not None and not self.follower.over

    def compose(self) -> ComposeResult:
        """Head, chart, table, last words."""
        yield self._head
        yield self._chart
        yield self._table
        yield self._log

    def on_mount(self) -> None:
        """Look from now on."""
        self.set_interval(LOOK_EVERY, self.look)

    def follow(self, run: Run) -> None:
        """Show a run from now on."""
        self.follower = Follower(run)
        self.look(always=True)

    def look(self, *, always: bool = False) -> None:
        """Read what is new, off the event loop; not for a run that is over, nor while nobody sees it."""
        if self.follower is not None and (always or (not self.follower.over and self.is_on_screen)):
            self._read(self.follower, wait=always)

    @in_thread(group="follow", description="read a run's events")
    def _read(self, follower: Follower, *, wait: bool) -> None:
        if not self._reading.acquire(timeout=10 if wait else 0):
            return
        try:
            follower.look(services_of(self).runs)
        finally:
            self._reading.release()
        self.app.call_from_thread(self._show, follower)

    def _show(self, follower: Follower) -> None:
        if follower is not self.follower:
            return
        tape, run = follower.tape, follower.run
        head = heading(run, follower.state, tape, services_of(self).clock(), self.size.width or 60)
        self._put(self._head, head, wraps=follower.over)
        self._put(self._log, Content("\n").join(Content(f"· {clean(line)}") for line in tape.log[-2:]), wraps=True)
        found = arrivals(tape)
        self.set_class(not found.rows, "-nothing")
        self._fill(run.id, found)
        self.post_message(self.Heard(run, follower.state))

    def _put(self, where: Static, text: Content, *, wraps: bool) -> None:
        """Update a text that is new; the screen is laid out anew only where its height may change."""
        before = self._texts.get(where)
        if text != before:
            self._texts[where] = text
            where.update(text, layout=wraps or before is None or before.plain.count("\n") != text.plain.count("\n"))

    def _fill(self, run_id: str, found: Arrivals) -> None:
        """Add the rows that are new and put right those that were not complete."""
        if self._kind != (run_id, found.kind):
            self._kind, self._rows = (run_id, found.kind), []
            self._table.clear(columns=True)
            for title, width in found.columns:
                self._table.add_column(title, width=width)
        if found.rows == self._rows:
            return
        at_end = self._table.cursor_row >= self._table.row_count - 1
        for index, row in enumerate(found.rows):
            if index >= len(self._rows):
                self._table.add_row(*map(Text, row))
            elif row != self._rows[index]:
                for column, cell in enumerate(row):
                    self._table.update_cell_at(Coordinate(index, column), Text(cell))
        self._rows = list(found.rows)
        if at_end:
            self._table.move_cursor(row=self._table.row_count - 1, animate=False)
        self._chart.set_plot(found.plot)

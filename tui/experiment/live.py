"""A run as it goes: progress, time left, last words, and between them what its tab shows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from core.result import Result
from core.runs.state.state import State
from core.runs.state.store import Run
from core.sanitize import clean
from tui.experiment.follower import Follower
from tui.experiment.live_head import heading
from tui.experiment.names import model
from tui.experiment.progress import RunProgress
from tui.services.services import services_of
from tui.widgets.table.table import Table
from tui.widgets.threads import in_thread

LOOK_EVERY = 0.5
"""Seconds between two looks at a run's events."""

T = TypeVar("T", bound=RunProgress)
R = TypeVar("R", bound=Result)
Row = tuple[str, ...]


class LiveRun(Vertical, Generic[T]):
    """Follows one run at a time.

    A subclass says what a run is called (`title`), puts its own widgets into `body`, between head and last words, and draws the progress into
    them (`draw`), which is called on the event loop after every look.

    Args:
        new_progress: makes the empty progress of a run.
        result: kind of the result to read when a run is done, for `result_as`.
    """

    DEFAULT_CSS = """
    LiveRun { height: 1fr; }
    LiveRun .live--head { height: auto; }
    LiveRun .live--log { height: auto; max-height: 2; color: $text-muted; }
    """
    NOTHING: ClassVar[str] = "No run yet. F5 starts one with the settings of the form; it continues when this program exits."
    SO_FAR: ClassVar[tuple[tuple[str, str], ...]] = ()
    """(name of a metric, label) of the figures in the head's last line."""

    @dataclass
    class Updated(Message):
        """The run's state or its events were read anew."""

        run: Run
        state: State

    def __init__(self, new_progress: Callable[[], T], *, result: type[Result] | None = None, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing")
        self._new_progress, self._result = new_progress, result
        self.follower: Follower[T] | None = None
        self.head = Static(self.NOTHING, classes="live--head", markup=False)
        self.log_lines = Static(classes="live--log", markup=False)
        self.body: Sequence[Widget] = ()
        self._reading = Lock()
        self._texts: dict[Static, Content] = {}

    def title(self, run: Run) -> str:
        """What a run was asked to do, in a few words."""
        return f"{run.summary}: {model(run.values)}"

    def new_follower(self, run: Run) -> Follower[T]:
        """What reads a run from its start."""
        return Follower(run, self._new_progress(), self._result)

    def draw(self, run: Run, progress: T) -> None:
        """Show what is known of a run; set the class `-nothing` while that is nothing."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Show the same at another size, or another part of it."""
        if (follower := self.follower) is None:
            return
        run, progress = follower.run, follower.progress
        head = heading(run, self.title(run), follower.state, progress, services_of(self).clock(), self.size.width or 60, self.SO_FAR)
        self.put(self.head, head, wraps=follower.over)
        self.put(self.log_lines, Content("\n").join(Content(f"· {clean(line)}") for line in progress.log[-2:]), wraps=True)
        self.draw(run, progress)

    def on_resize(self) -> None:
        """Comes after the `on_resize` of a subclass, which textual calls too."""
        self.redraw()

    def result_as(self, kind: type[R]) -> R | None:
        """The result of the run that is followed; None before it is done."""
        found = self.follower.result if self.follower is not None else None
        return found if isinstance(found, kind) else None

    def compose(self) -> ComposeResult:
        yield self.head
        yield from self.body
        yield self.log_lines

    @property
    def going(self) -> bool:
        return self.follower is not None and not self.follower.over

    def on_mount(self) -> None:
        self.set_interval(LOOK_EVERY, self.look)

    def follow(self, run: Run) -> None:
        self.follower = self.new_follower(run)
        self.look(always=True)

    def look(self, *, always: bool = False) -> None:
        """Read what is new, off the event loop; not for a run that is over, nor while nobody sees it."""
        if self.follower is not None and (always or (not self.follower.over and self.is_on_screen)):
            self._read(self.follower, wait=always)

    @in_thread(group="follow", description="read a run's events")
    def _read(self, follower: Follower[T], *, wait: bool) -> None:
        if not self._reading.acquire(timeout=10 if wait else 0):
            return
        try:
            follower.look(services_of(self).runs)
        finally:
            self._reading.release()
        self.app.call_from_thread(self._show, follower)

    def _show(self, follower: Follower[T]) -> None:
        if follower is self.follower:
            self.redraw()
            self.post_message(self.Updated(follower.run, follower.state))

    def put(self, where: Static, text: Content, *, wraps: bool) -> None:
        """Update a text that is new; the screen is laid out anew only where its height may change."""
        before = self._texts.get(where)
        if text != before:
            self._texts[where] = text
            where.update(text, layout=wraps or before is None or before.plain.count("\n") != text.plain.count("\n"))


class GrowingTable(Table[Text]):
    """A table that rows are added to as they arrive; the cursor stays at the end while it is there."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cell_padding=0)
        self._kind: object = None
        self._rows_shown: list[Row] = []

    def fill(self, kind: object, columns: Sequence[tuple[str, int]], rows: Sequence[Row]) -> None:
        """Add the rows that are new and put right those that were not complete.

        Args:
            kind: changes when everything begins anew.
            columns: title and width of each.
            rows: all of them, older ones first.
        """
        if self._kind != kind or len(rows) < len(self._rows_shown):
            self._kind, self._rows_shown = kind, []
            self.clear(columns=True)
            for title, width in columns:
                self.add_column(title, width=width)
        if list(rows) == self._rows_shown:
            return
        at_end = self.cursor_row >= self.row_count - 1
        for index, row in enumerate(rows):
            if index >= len(self._rows_shown):
                self.add_row(*map(Text, row))
            elif row != self._rows_shown[index]:
                for column, cell in enumerate(row):
                    self.update_cell_at(Coordinate(index, column), Text(cell))
        self._rows_shown = list(rows)
        if at_end:
            self.move_cursor(row=self.row_count - 1, animate=False)

"""All runs of this home: filter them, follow one, cancel one, compare two, find what they made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Literal, ParamSpec, TypeVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import DataTable, Input, Static

from core.errors import LlmoptError
from core.sanitize import clean
from tui.runs.detail import artifacts, detail
from tui.runs.rows import RowReader, RunRow
from tui.runs.words import STYLES
from tui.services.services import services_of
from tui.shell import panes
from tui.shell.confirm import Confirm
from tui.shell.partial_repaint import PartialRepaintScreen
from tui.shell.shell import shell_of
from tui.widgets.hints import Hints
from tui.widgets.table.table import Table
from tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.runs.state.store import Run
    from tui.runs.watcher import RunEvent

P = ParamSpec("P")
Answer = TypeVar("Answer")

Severity = Literal["information", "warning", "error"]

_COLUMNS = (
    ("mark", " ", 1),
    ("status", "State", 13),
    ("started", "Started", 11),
    ("what", "What", 25),
    ("model", "Model", 14),
    ("took", "Took", 11),
    ("figures", "Figures", 44),
)
INTERVAL = 2.0
"""Seconds between two readings; what begins or ends is shown at once."""
NO_RUNS = "No runs yet. Start one on a tab, or with: llmopt quantize bundled:base"
NO_MATCH = "No run matches the filter."


class RunsScreen(PartialRepaintScreen):
    """A table of runs and the details of the one under the cursor."""

    HELP = """
    Every run in this home, from any session; runs continue when this program or the terminal ends.
    enter follows the run under the cursor, space marks it, = compares the two marked ones (or the marked one and
    this one), x cancels, r resumes a stopped one, y copies the path of its artifact, a opens its tab filled in to run it again, / filters.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="runs.back", tooltip="Back to the tabs"),
        Binding("f", "follow", "Follow", show=False, id="runs.follow", tooltip="Follow the run: progress, figures, log (also enter)"),
        Binding("space", "mark", "Mark", id="runs.mark", tooltip="Mark the run for comparison"),
        Binding("equals_sign", "compare", "Compare", key_display="=", id="runs.compare", tooltip="Compare two runs"),
        Binding("x", "cancel", "Cancel", id="runs.cancel", tooltip="Stop the run"),
        Binding("r", "resume", "Resume", show=False, id="runs.resume", tooltip="Resume a cancelled or failed run from what it kept"),
        Binding("y", "copy", "Copy path", id="runs.copy", tooltip="Copy the path of the run's artifact"),
        Binding("a", "again", "Again", id="runs.again", tooltip="Open its tab with the form filled in"),
        Binding("slash", "filter", "Filter", key_display="/", id="runs.filter", tooltip="Show only runs that contain these words"),
        Binding("d", "delete", "Delete", show=False, id="runs.delete", tooltip="Delete a finished run and its artifacts"),
    ]
    DEFAULT_CSS = """
    RunsScreen #runs-filter { height: 1; border: none; padding: 0 1; background: $surface; }
    RunsScreen #runs-filter:focus { background: $boost; }
    RunsScreen #runs-body { height: 1fr; layout: vertical; }
    RunsScreen Table { height: 1fr; scrollbar-size-horizontal: 0; }
    RunsScreen #runs-detail { height: 9; border-top: solid $panel; padding: 0 1; }
    RunsScreen.wide #runs-body { layout: horizontal; }
    RunsScreen.wide Table { width: 63%; height: 1fr; }
    RunsScreen.wide #runs-detail { width: 37%; height: 1fr; border-top: none; border-left: solid $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[RunRow] = []
        self._shown: list[RunRow] = []
        self._marked: list[str] = []
        self._reader: RowReader | None = None
        self._reading = False
        self._waiting = 0
        self._detail = Content()

    def compose(self) -> ComposeResult:
        yield TopBar("Runs")
        yield Input(placeholder="Filter: words that a run must contain (esc leaves)", id="runs-filter", compact=True)
        with Container(id="runs-body"):
            table: Table[Content] = Table(id="runs-table", cursor_type="row", zebra_stripes=False)
            yield table
            with VerticalScroll(id="runs-detail"):
                yield Static(id="runs-words")
        yield Hints()

    async def on_mount(self) -> None:
        table = self._table
        for key, title, width in _COLUMNS:
            table.add_column(title, key=key, width=width)
        table.focus()
        self._reader = RowReader(services_of(self).runs)
        await self._read()
        self.set_interval(INTERVAL, self._read_when_seen)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= 110, "wide")

    def on_run_event(self, _: RunEvent) -> None:
        self.call_later(self._read)

    # -- reading

    @property
    def _table(self) -> DataTable[Content]:
        return cast("DataTable[Content]", self.query_one("#runs-table", DataTable))

    async def _read_when_seen(self) -> None:
        if self.is_current:
            await self._read()

    @property
    def is_settled(self) -> bool:
        """Whether everything that was asked of the disk is on the screen."""
        return self._reader is not None and self._waiting == 0

    async def _off_loop(self, function: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Answer:
        self._waiting += 1
        try:
            return await asyncio.to_thread(function, *args, **kwargs)
        finally:
            self._waiting -= 1

    async def _read(self) -> None:
        if self._reader is None or self._reading:
            return
        self._reading = True
        try:
            self._rows = await self._off_loop(self._reader.read, services_of(self).clock())
        finally:
            self._reading = False
        self._show()
        await self._show_detail()

    def _show(self) -> None:
        query = self.query_one("#runs-filter", Input).value
        shown = [row for row in self._rows if row.matches(query)]
        table = self._table
        if [row.id for row in shown] != [row.id for row in self._shown]:
            here = self._here()
            table.clear()
            for row in shown:
                table.add_row(*self._cells(row), key=row.id)
            if here is not None and here.id in {row.id for row in shown}:
                table.move_cursor(row=table.get_row_index(here.id), animate=False)
        else:
            for new in shown:
                for (key, _, _), cell in zip(_COLUMNS, self._cells(new), strict=True):
                    if table.get_cell(new.id, key) != cell:
                        table.update_cell(new.id, key, cell)
        self._shown = shown

    def _cells(self, row: RunRow) -> list[Content]:
        mark = Content.styled("◆", "bold $accent") if row.id in self._marked else Content(" ")
        plain = (row.started, row.what, row.model, row.took, row.figures)
        return [mark, Content.styled(row.status, STYLES[row.state.status]), *(Content(text) for text in plain)]

    async def _show_detail(self) -> None:
        words = self.query_one("#runs-words", Static)
        row = self._here()
        if row is None:
            words.update(Content(NO_MATCH if self._rows else NO_RUNS))
            return
        width = max(words.size.width, 40)
        text = await self._off_loop(detail, row, services_of(self).clock(), width)
        if self._here() is row and text != self._detail:
            self._detail = text
            words.update(text)

    def _here(self) -> RunRow | None:
        position = self._table.cursor_row
        return self._shown[position] if 0 <= position < len(self._shown) else None

    @on(DataTable.RowHighlighted)
    async def _cursor_moved(self) -> None:
        await self._show_detail()

    @on(Input.Changed, "#runs-filter")
    async def _filter_changed(self) -> None:
        self._show()
        await self._show_detail()

    @on(Input.Submitted, "#runs-filter")
    def _filter_done(self) -> None:
        self._table.focus()

    # -- actions

    def action_back(self) -> None:
        if self.focused is not self._table and self._shown:
            self._table.focus()
        else:
            self.app.pop_screen()

    def action_filter(self) -> None:
        self.query_one("#runs-filter", Input).focus()

    @on(DataTable.RowSelected)
    def action_follow(self) -> None:
        from tui.runs.follow import FollowScreen

        if (row := self._here()) is not None:
            self.app.push_screen(FollowScreen(row.run))

    def action_mark(self) -> None:
        if (row := self._here()) is None:
            return
        if row.id in self._marked:
            self._marked.remove(row.id)
        else:
            self._marked = [*self._marked, row.id][-2:]
        self._show()

    def action_compare(self) -> None:
        """The two marked runs, or the marked one and the one under the cursor."""
        from tui.runs.compare import CompareScreen

        here = self._here()
        ids = list(self._marked)
        if len(ids) < 2 and here is not None and here.id not in ids:
            ids.append(here.id)
        chosen = [row for row in self._rows if row.id in ids]
        if len(chosen) < 2:
            self._say("Mark one run with space, move to another, then press = to compare them.")
            return
        self.app.push_screen(CompareScreen(chosen[1].run, chosen[0].run))

    @work(description="cancel a run")
    async def action_cancel(self) -> None:
        row = self._here()
        if row is None or self._refused():
            return
        if row.state.is_over:
            self._say(f"This run has already ended ({row.state.status}).")
            return
        if await self.app.push_screen_wait(Confirm(f"Stop {row.what} of {row.model}?", yes="Stop it", no="Keep running")):
            await self._attempt(services_of(self).runs.cancel, row.run)

    @work(description="resume a run")
    async def action_resume(self) -> None:
        """Let a stopped run go on under its own id; nothing is lost by it, so nothing is asked."""
        row = self._here()
        if row is None or self._refused():
            return
        self._say(f"Resuming {row.what} of {row.model} ...")
        await self._attempt(services_of(self).runs.resume, row.run)

    @work(description="delete a run")
    async def action_delete(self) -> None:
        row = self._here()
        if row is None or self._refused():
            return
        question = f"Delete {row.what} of {row.model} ({row.started}) and everything in its folder?"
        if await self.app.push_screen_wait(Confirm(question, yes="Delete", no="Keep")):
            await self._attempt(services_of(self).runs.remove, row.run)

    async def action_copy(self) -> None:
        if (row := self._here()) is None:
            return
        made = await asyncio.to_thread(artifacts, row.run)
        path = made[-1] if made else str(row.run.path)
        self.app.copy_to_clipboard(path)
        self._say(f"Copied, if the terminal allows it: {path}")

    def action_again(self) -> None:
        row = self._here()
        if row is None:
            return
        if row.run.capability not in {pane.id for pane in panes.PANES}:
            self._say(f"No tab can start {row.run.capability} again; use llmopt {row.run.capability} --spec {row.run.spec_file}")
            return
        shell_of(self).open_pane(row.run.capability, row.run.values)

    async def _attempt(self, action: Callable[[Run], object], run: Run) -> None:
        try:
            await self._off_loop(action, run)
        except LlmoptError as error:
            self._say(str(error), "error")
        await self._read()

    def _refused(self) -> bool:
        if services_of(self).read_only:
            self._say("Read-only: starting, stopping and deleting runs is disabled.", "warning")
            return True
        return False

    def _say(self, text: str, severity: Severity = "information") -> None:
        self.notify(clean(text, limit=400), markup=False, severity=severity)

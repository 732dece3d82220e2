"""Servers that this program started: what each serves, where, and how busy it is."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.message import Message
from textual.widgets import Static

from core.runs.state.store import Run
from core.sanitize import clean
from tui.benchmark.names import run_title
from tui.benchmark.servers import server_words
from tui.benchmark.servers.progress import ServerProgress
from tui.benchmark.servers.servers import ServerList, ServerRow
from tui.experiment.live import LiveRun
from tui.services.services import services_of
from tui.widgets.chart.chart import Chart
from tui.widgets.table.live_table import LiveTable
from tui.widgets.threads import in_thread

_EVERY = 1.0
_ANEW = 5
"""Looks from one at the whole list of runs to the next; a run that begins or ends is reported besides."""
_LOW = 26
"""Lines below which words and chart take turns."""


class ServersView(LiveRun[ServerProgress]):
    """A row a server, and the one under the cursor in full."""

    HELP = (
        "Servers started from here or with `llmopt serve`. They keep running when this program exits, and listen on this machine only unless "
        "configured otherwise.\n\n"
        "s starts the server of the form, x stops the one under the cursor after confirmation, u puts its address into the form of a load, y copies "
        "its address. m switches to the charts of its requests and its memory. run/wait are the running and waiting requests, as reported by the "
        "server."
    )
    NOTHING = "No server yet. s starts the one in the form (F6 goes to it); it runs until x stops it."
    DEFAULT_CSS = """
    ServersView .live--head { display: none; }
    ServersView.-nothing .live--head { display: block; }
    ServersView > LiveTable { height: auto; max-height: 9; }
    ServersView .servers--words { height: auto; max-height: 14; margin-top: 1; }
    ServersView Chart { height: 1fr; min-height: 5; margin-top: 1; }
    ServersView.-low .servers--words, ServersView.-low Chart { margin-top: 0; }
    ServersView.-quiet Chart, ServersView.-low.-words Chart, ServersView.-low.-chart .servers--words { display: none; }
    ServersView.-nothing LiveTable, ServersView.-nothing .servers--words, ServersView.-nothing Chart { display: none; }
    """

    class Chosen(Message):
        """The list, or the row under the cursor, is another one."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(ServerProgress, id=id)
        self.table = LiveTable(id="servers", empty="no server")
        self.rows: Sequence[ServerRow] = ()
        self._words = Static(classes="servers--words", markup=False)
        self._chart = Chart()
        self.body = (self.table, self._words, self._chart)
        self._list = ServerList()
        self._wanted = ""
        self._turn = 0
        self._looks = 0
        self.add_class("-words")

    def on_mount(self) -> None:
        self.set_interval(_EVERY, self._tick)
        self.look_around()

    def on_resize(self) -> None:
        self.set_class(self.size.height < _LOW, "-low")
        self._fill()

    def title(self, run: Run) -> str:
        return run_title(run)

    @property
    def chosen(self) -> ServerRow | None:
        return next((row for row in self.rows if row.run.id == self.table.cursor), None)

    def follow(self, run: Run) -> None:
        """Show a server from now on, with the cursor on its row."""
        self._wanted = run.id
        super().follow(run)
        self.look_around()

    def next_chart(self) -> None:
        """Requests, then memory; where there is no room for both, the words between them."""
        turns = 3 if self.has_class("-low") else 2
        self._turn = (self._turn + 1) % turns
        self.redraw()

    def draw(self, run: Run, progress: ServerProgress) -> None:
        follower, width = self.follower, self.size.width
        if follower is None or not width:
            return
        low = self.has_class("-low")
        quiet = progress.ready is None or follower.over
        self.set_class(quiet, "-quiet")
        self.set_class(self._turn != 0 and not quiet, "-chart")
        self.set_class(self._turn == 0 or quiet, "-words")
        described = server_words.described(run, follower.state, progress, services_of(self).clock(), width, short=low)
        self.put(self._words, described, wraps=True)
        memory = self._turn >= (2 if low else 1)
        self._chart.set_plot(server_words.memory_plot(progress) if memory else server_words.requests_plot(progress))

    def look_around(self) -> None:
        """Read the list anew, off the event loop."""
        if self.is_attached:
            self._read_all(anew=True)

    def _tick(self) -> None:
        if self.is_on_screen:
            self._looks += 1
            self._read_all(anew=self._looks % _ANEW == 0)

    @in_thread(group="servers", description="read the list of servers")
    def _read_all(self, *, anew: bool) -> None:
        found = self._list.read(services_of(self).runs, anew=anew)
        if found is not None:
            self.app.call_from_thread(self._found, found)

    def _found(self, rows: Sequence[ServerRow]) -> None:
        before = [(row.run.id, row.state.status, row.url) for row in self.rows]
        self.rows = tuple(rows)
        self.set_class(not self.rows, "-nothing")
        self._fill()
        if self._wanted and any(row.run.id == self._wanted for row in self.rows):
            wanted, self._wanted = self._wanted, ""
            self.table.move_to(wanted)
        if before != [(row.run.id, row.state.status, row.url) for row in self.rows]:
            self.post_message(self.Chosen())

    def _fill(self) -> None:
        width, now = self.size.width, services_of(self).clock()
        if width:
            self.table.styles.height = min(1 + max(len(self.rows), 1), 5 if self.has_class("-low") else 9)
            self.table.show_rows(server_words.head(width), [(row.run.id, server_words.line(row, now, width)) for row in self.rows])

    def to_copy(self) -> str:
        return "" if self.chosen is None else clean(self.chosen.url, limit=200)

    @on(LiveTable.Moved)
    def _moved(self, event: LiveTable.Moved) -> None:
        event.stop()
        chosen = self.chosen
        if chosen is not None and not self._wanted and (self.follower is None or self.follower.run.id != chosen.run.id):
            super().follow(chosen.run)
        self.post_message(self.Chosen())

"""All schemes in one table, of one run or of every run of the model."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Static

from core.sanitize import clean
from core.spec import Values, short_name
from tui.experiment.finished import ResultTable
from tui.experiment.sentences import convention
from tui.kvcache.schemes import columns
from tui.kvcache.schemes.entries import Entry, KvRun, entries, refused
from tui.widgets import words
from tui.widgets.hanging import hanging

_LOW = 28
"""Lines below which the head does without the text's name, and the words are scrolled."""


class TableView(Vertical):
    """Head, table, and in words what was measured of the scheme under the cursor."""

    HELP = (
        "Every cache scheme, measured on the same model and text. held: bytes of the actual tensors, scales and indices included, of all windows; "
        "B/token: per token of one window; smaller: relative to the full cache; TTFT: time of the prompt and the first token; TPOT: time per further "
        "token; ppl ratio: perplexity through the cache relative to the full one, with its standard error; top-1: how often the most likely next "
        "token is the same; needle: how often an assignment that appears once in the text is retrieved.\n\n"
        "c shows one run or all runs of the model; enter on a row of several shows its run alone. F7 fills the form with the settings of the run "
        "under the cursor. ≠ marks rows that are not comparable with the first run."
    )
    DEFAULT_CSS = """
    TableView { height: 1fr; }
    TableView .table--head { height: auto; max-height: 4; }
    TableView ResultTable { height: 1fr; min-height: 4; }
    TableView VerticalScroll { height: auto; max-height: 40%; border-top: solid $panel; }
    TableView VerticalScroll Static { height: auto; }
    TableView.-low VerticalScroll { max-height: 6; }
    TableView.-nothing ResultTable, TableView.-nothing VerticalScroll { display: none; }
    """

    class Alone(Message):
        """One run alone was asked for."""

        def __init__(self, run_id: str) -> None:
            super().__init__()
            self.run_id = run_id

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing")
        self.table: ResultTable[Entry] = ResultTable(columns.COLUMNS)
        self._head = Static(classes="table--head", markup=False)
        self._words = Static(markup=False)
        self._model = ""
        self._runs: Sequence[KvRun] = ()

    def compose(self) -> ComposeResult:
        yield self._head
        yield self.table
        with VerticalScroll(can_focus=False):
            yield self._words

    def on_resize(self) -> None:
        self.set_class(self.size.height < _LOW, "-low")
        self._draw_words()

    def show(self, model_name: str, runs: Sequence[KvRun]) -> None:
        """Show the rows of runs of a model, the first of which the others are compared with."""
        self._model, self._runs = model_name, runs
        self.set_class(not runs, "-nothing")
        if not runs:
            self._head.update(f"No comparison of cache schemes of {short_name(model_name)} yet. F5 starts one with the settings of the form.")
            return
        self.table.use_columns(columns.BESIDE if len(runs) > 1 else columns.COLUMNS)
        self.table.show([(entry.key, entry) for entry in entries(runs)])
        self._draw_words()

    def values(self) -> Values | None:
        current = self.table.current
        return None if current is None or not self._runs else current.found.run.values

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._draw_words()

    @on(DataTable.RowSelected)
    def _opened(self, event: DataTable.RowSelected) -> None:
        event.stop()
        current = self.table.current
        if current is not None and len(self._runs) > 1:
            self.post_message(self.Alone(current.found.run.id))

    def _draw_words(self) -> None:
        current = self.table.current
        if current is None or not self._runs or not self.size.width:
            return
        self._head.update(self._heading())
        self._words.update(hanging(columns.in_words(current), self.size.width - 1))

    def _heading(self) -> Content:
        first = self._runs[0].result
        count = f"{len(self._runs)} runs" if len(self._runs) > 1 else f"{len(first.rows)} rows"
        title = f"Cache schemes of {short_name(self._model)}, {count}"
        how = f"{first.device}, {first.threads} threads, {first.dtype}, {words.duration(first.seconds)}"
        lines = [Content.assemble((title, "bold"), "  ", (how, "dim"))]
        if not self.has_class("-low"):
            lines.append(Content.styled(f"prompts of {words.count(first.prompt)} tokens: {convention(first.evaluation)}", "dim"))
        lines.append(Content.styled(columns.SIGNS, "dim"))
        if without := refused([entry for _, entry in self.table.items]):
            lines.append(Content.styled(f"{columns.REFUSED} " + "; ".join(clean(reason) for _, reason in without), "$text-warning"))
        width = self.size.width
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)

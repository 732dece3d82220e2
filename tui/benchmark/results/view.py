"""Finished loads compared: a table, everything about the row under the cursor, charts."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Static
from textual.worker import get_current_worker

from core.benchmark.analysis.comparison import Compared, compare_quality, compare_samples
from core.sanitize import clean
from core.spec import Values, short_name
from tui.benchmark.results import charts, entries, ranked, target_words
from tui.benchmark.results.entries import BenchmarkRun, Entry, Key
from tui.experiment.finished import ResultTable
from tui.widgets.chart.chart import Chart
from tui.widgets.chart.plot import Plot
from tui.widgets.hanging import hanging
from tui.widgets.threads import in_thread

_LOW = 26
"""Lines below which table, words and chart take turns."""
_BROAD = 100
"""Columns from which on words and chart are side by side."""
_TURNS = ("table", "words", "chart")


class ResultsView(Vertical):
    """Table above, words and chart below; in a low window they take turns."""

    HELP = (
        "Every finished load on this model, newest first; c shows those of all models and addresses. A sweep has one row per level, ◆ marks its "
        "knee. A percentile with ? has fewer samples than required. ✓ and ✗ next to a letter: all thresholds were met, or not; ! marks warnings, "
        "listed below. ≠ was measured with a different load or on a different machine from the reference.\n\n"
        "Up and down choose a row; below is its difference from the reference, and whether that is beyond noise: b makes the chosen row the "
        "reference, initially the first one. v switches columns: memory, quality, energy, cost. m switches charts (and text, if only one fits), y "
        "copies the command that started the server, F7 fills the form with the settings of that run."
    )
    DEFAULT_CSS = """
    ResultsView { height: 1fr; }
    ResultsView .results--head { height: auto; }
    ResultsView ResultTable { height: auto; max-height: 45%; min-height: 4; }
    ResultsView .results--signs { height: auto; color: $text-muted; }
    ResultsView .results--below { height: 1fr; layout: vertical; margin-top: 1; }
    ResultsView.-broad .results--below { layout: horizontal; }
    ResultsView .results--words, ResultsView Chart { width: 1fr; height: 1fr; }
    ResultsView .results--words { scrollbar-size-vertical: 1; }
    ResultsView .results--words Static { height: auto; }
    ResultsView.-broad Chart { margin-left: 2; }
    ResultsView.-unsigned .results--signs { display: none; }
    ResultsView.-nothing ResultTable, ResultsView.-nothing .results--below, ResultsView.-nothing .results--signs { display: none; }
    ResultsView.-low .results--below { margin-top: 0; }
    ResultsView.-low.-table Chart, ResultsView.-low.-words ResultTable, ResultsView.-low.-words .results--signs { display: none; }
    ResultsView.-low.-chart ResultTable, ResultsView.-low.-chart .results--signs { display: none; }
    ResultsView.-low.-table ResultTable { max-height: 60%; }
    ResultsView.-low.-words Chart, ResultsView.-low.-chart .results--words { display: none; }
    """

    class Chosen(Message):
        """Another row is shown."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing -table")
        self.table = ResultTable(target_words.SPEED)
        self.chart = Chart()
        self._head = Static(classes="results--head", markup=False)
        self._signs = Static(classes="results--signs", markup=False)
        self._words = Static(markup=False)
        self._runs: Sequence[BenchmarkRun] = ()
        self._entries: list[Entry] = []
        self._reference: Key | None = None
        self._differences: dict[tuple[Key, Key], tuple[Compared, ...]] = {}
        self._figure = 0
        self._turn = 0
        self._set = 0
        self._title = ("", "")

    def compose(self) -> ComposeResult:
        yield self._head
        yield self.table
        yield self._signs
        with Container(classes="results--below"):
            with VerticalScroll(classes="results--words"):
                yield self._words
            yield self.chart

    def on_resize(self) -> None:
        self.set_class(self.size.height < _LOW, "-low")
        self.set_class(self.size.width >= _BROAD, "-broad")
        self.draw()

    @property
    def hides_table(self) -> bool:
        return self.has_class("-low") and not self.has_class("-table")

    @property
    def chosen(self) -> Entry | None:
        return self.table.current if self._entries else None

    def show(self, model_name: str, runs: Sequence[BenchmarkRun], *, everything: bool, more: int = 0) -> None:
        """Show finished loads.

        Args:
            model_name: of the form.
            runs: newest first.
            everything: they are those of all models and addresses.
            more: loads on other models and addresses that are not shown.
        """
        self._runs = runs
        self._arrange()
        self.set_class(not self._entries, "-nothing")
        of = "all models and addresses" if everything else short_name(model_name)
        if self._entries:
            count = f"{len(runs)} finished load{'s' if len(runs) > 1 else ''}"
            hint = f"; {more} of other models and addresses: c" if more and not everything else ""
            self._title = (f"{count} on {of}", hint)
        else:
            hint = f" c shows {more} of other models and addresses." if more else ""
            self._head.update(f"No finished load on {of} yet. F5 starts one with the settings of the form.{hint}")
        self._list()
        self.draw()
        self.post_message(self.Chosen())

    def _list(self, cursor: Key | None = None) -> None:
        """Rows under a head that names the columns which are not shown."""
        if self._entries:
            head, hint = self._title
            other = target_words.SETS[(self._set + 1) % len(target_words.SETS)][0]
            self._head.update(Content.assemble((head, "bold"), (f"{hint}; {other}: v", "dim")))
        self.table.show([(entry.key, entry) for entry in self._entries], cursor)

    @property
    def reference(self) -> Entry | None:
        """The row that the others are set against: the one that was marked, else the first."""
        return next((entry for entry in self._entries if entry.key == self._reference), self._entries[0] if self._entries else None)

    @property
    def can_mark(self) -> bool:
        """Whether the chosen row is of another target than the reference."""
        return self.chosen is not None and self.reference is not None and self.chosen.key[:2] != self.reference.key[:2]

    def mark_reference(self) -> None:
        """Set the others against the chosen row's target from now on."""
        if self.chosen is not None:
            self._reference = (*self.chosen.key[:2], None)
            self._arrange()
            self._list()
            self.draw()

    def _arrange(self) -> None:
        self._entries = entries.rows(self._runs, self._reference[0] if self._reference is not None else "")
        signs = target_words.signs(self._entries, self.reference)
        self._signs.update(signs)
        self.set_class(not signs, "-unsigned")

    def go_to(self, run_id: str) -> None:
        """Put the cursor on the first row of a run."""
        key = next((entry.key for entry in self._entries if entry.run.id == run_id), None)
        if key is not None:
            self._list(key)
            self.draw()

    def draw(self) -> None:
        entry = self.chosen
        if entry is None or not self.size.width:
            return
        beside = self.has_class("-broad") and not self.has_class("-low")
        width = self.size.width // 2 - 4 if beside else self.size.width - 2
        self._words.update(described(entry, max(width, 20), self._against(entry)))
        plots = self._plots(entry)
        self.chart.set_plot(plots[min(self._figure, len(plots) - 1)])

    def _plots(self, entry: Entry) -> tuple[Plot, ...]:
        """Charts of a row, then targets ranked by what is known of several."""
        return (*charts.charts(self._entries, entry), *ranked.ranked(charts.beside(self._entries, entry)))

    def _against(self, entry: Entry) -> tuple[Entry, Sequence[Compared]] | None:
        """How a row differs from the reference; None where that is not known, or not yet."""
        reference = self._opposite(entry)
        if reference is None or reference.key == entry.key or entry.foreign:
            return None
        found = self._differences.get((entry.key, reference.key))
        if found is None:
            self._compare(entry, reference)
            return None
        return reference, found

    def _opposite(self, entry: Entry) -> Entry | None:
        """The row of the reference that is set against a row: whole against whole, level against level."""
        reference = self.reference
        if reference is None or entry.level is None:
            return reference
        key = (*reference.key[:2], entry.level.level)
        return next((each for each in self._entries if each.key == key), None)

    @in_thread(group="differences", description="compare two loads", exclusive=True)
    def _compare(self, entry: Entry, reference: Entry) -> None:
        quality = compare_quality(entry.entry.quality, reference.entry.quality) if entry.level is None else None
        found = (*compare_samples(entry.samples, reference.samples), *([quality] if quality is not None else []))
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._compared, entry.key, reference.key, found)

    def _compared(self, key: Key, reference: Key, found: tuple[Compared, ...]) -> None:
        self._differences[key, reference] = found
        self.draw()

    def next_chart(self) -> None:
        count = len(self._plots(self.chosen)) if self.chosen is not None else 1
        if self.has_class("-low"):
            if _TURNS[self._turn] == "chart" and self._figure + 1 < count:
                self._figure += 1
            else:
                self._turn = (self._turn + 1) % len(_TURNS)
                self._figure = 0
            for turn in _TURNS:
                self.set_class(turn == _TURNS[self._turn], f"-{turn}")
        else:
            self._figure = (self._figure + 1) % count
        self.draw()

    def next_columns(self) -> None:
        """The other columns of the table, which comes back for it."""
        if self.hides_table:
            self._turn = 0
            for turn in _TURNS:
                self.set_class(turn == _TURNS[0], f"-{turn}")
        else:
            self._set = (self._set + 1) % len(target_words.SETS)
        self.table.use_columns(target_words.SETS[self._set][1])
        self._list()
        self.draw()

    def values(self) -> Values | None:
        return None if self.chosen is None else self.chosen.run.values

    def to_copy(self) -> str:
        """How the chosen row's server was started, else its address."""
        return "" if self.chosen is None else clean(self.chosen.entry.command or self.chosen.entry.url, limit=4000)

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.draw()
        self.post_message(self.Chosen())


def described(entry: Entry, width: int, against: tuple[Entry, Sequence[Compared]] | None = None) -> Content:
    """Verdicts, warnings, differences from the reference, figures of one row."""
    lines = [Content.styled(f"{entry.letter} {entry.title}".strip(), "bold")]
    if best := target_words.recommended(entry.result):
        lines.append(hanging(best, width))
    lines += [Content.styled(target_words.threshold(each), target_words.STYLES[each.passed]) for each in entry.thresholds]
    lines += [Content.styled(f"{target_words.WARNED} {clean(text, limit=500)}", "$text-warning") for text in entry.warnings]
    if against is not None and (differences := target_words.compared(against[1])):
        lines.append(Content.styled(f"against {against[0].letter} {against[0].title}", "bold"))
        lines.append(hanging(differences, width))
    return Content("\n").join([*lines, hanging(target_words.facts(entry), width)])

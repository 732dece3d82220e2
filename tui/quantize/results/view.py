"""What finished runs measured: the figures of one, next to the others of the same model."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import DataTable

from core.errors import LlmoptError
from core.models.card import ModelCard
from core.runs.state.store import Run
from core.spec import Values, short_name
from tui.experiment.finished import ReadsRuns
from tui.experiment.names import model
from tui.experiment.table_or_chart import TableOrChart
from tui.quantize.results import figures, history, layers, outcome
from tui.quantize.results.assignment import AssignmentMap
from tui.quantize.results.outcome import Outcome
from tui.services.services import services_of
from tui.widgets.hanging import hanging


class ResultsView(TableOrChart, ReadsRuns[list[Outcome]]):
    """Figures above, all runs of the model in a table, and linear by linear what the chosen one did."""

    HELP = (
        "Results of the finished runs of this model. Up and down in the table choose a run; m shows the error of its linears and, for a mixed one, "
        "the bits of each linear; F7 fills the form with its settings; y copies the path of its checkpoint, o shows its files, v verifies it.\n\n"
        "Figures marked ≠ were measured under a different convention from the chosen run and cannot be compared with it."
    )
    DEFAULT_CSS = """
    ResultsView AssignmentMap { display: none; }
    ResultsView.-map AssignmentMap { display: block; }
    ResultsView.-map Chart { display: none; }
    ResultsView.-nothing AssignmentMap, ResultsView.-low.-table AssignmentMap { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._map = AssignmentMap(classes="turns--chart")
        self._outcomes: list[Outcome] = []
        self.chosen: Outcome | None = None
        """The run whose figures are shown."""

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.table
        yield self._map
        yield self.chart

    def on_mount(self) -> None:
        for name, width in history.COLUMNS:
            self.table.add_column(name, key=name, width=width)

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> list[Outcome]:  # noqa: ARG002
        return outcome.of_model(runs, self.model_name, self._card())

    def _card(self) -> ModelCard | None:
        try:
            return services_of(self).models.resolve(self.model_name).card()
        except LlmoptError:
            return None

    def show_found(self, found: list[Outcome], run_id: str | None) -> None:
        self._outcomes = found
        keep = run_id or (self.chosen.run_id if self.chosen else None)
        self.chosen = next((each for each in self._outcomes if each.run_id == keep), self._outcomes[0] if self._outcomes else None)
        self.set_class(self.chosen is None, "-nothing")
        if self.chosen is None:
            self.head.update(Content(f"No finished quantization of {short_name(self.model_name)} yet. F5 starts one, F6 compares the methods."))
        else:
            self._fill()
        self.draw()
        self.refresh_bindings()

    def values(self) -> Values | None:
        return self.chosen.values if self.chosen is not None else None

    def figures(self) -> int:
        return 2 if self.chosen is not None and self.chosen.is_mixed else 1

    def draw(self) -> None:
        chosen = self.chosen
        if chosen is None:
            return
        head = Content.assemble((f"{chosen.recipe} of {model(chosen.values)}", "bold"), ("  " + chosen.run_id, "dim"))
        self.head.update(Content("\n").join([head, hanging(figures.lines(chosen), self.size.width or 60)]))
        self.set_class(chosen.is_mixed and self.figure == 0, "-map")
        self._map.show([(layer.name, layer.bits) for layer in chosen.layers])
        self.chart.set_plot(layers.plot([(layer.name, layer.error) for layer in chosen.layers], of=chosen.result.error_of))

    def _fill(self) -> None:
        assert self.chosen is not None
        with self.prevent(DataTable.RowHighlighted):
            self.table.clear()
            for each in self._outcomes:
                self.table.add_row(*map(Text, history.cells(each, self.chosen)), key=each.run_id)
            self.table.move_cursor(row=self._outcomes.index(self.chosen))

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        if event.cursor_row < len(self._outcomes) and self._outcomes[event.cursor_row] is not self.chosen:
            self.chosen = self._outcomes[event.cursor_row]
            self.figure = min(self.figure, self.figures() - 1)
            self.draw()

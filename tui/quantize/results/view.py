"""What finished runs measured: the figures of one, beside the others of the same model."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import DataTable, Static
from textual.worker import get_current_worker

from core.errors import LlmoptError
from core.models.card import ModelCard
from tui.experiment.names import model
from tui.experiment.table_or_chart import TableOrChart
from tui.quantize.results import figures, history, layers, outcome
from tui.quantize.results.assignment import AssignmentMap
from tui.quantize.results.outcome import Outcome
from tui.services.services import services_of
from tui.widgets.hanging import hanging
from tui.widgets.threads import in_thread


class ResultsView(TableOrChart):
    """Figures above, all runs of the model in a table, and linear by linear what the chosen one did."""

    HELP = (
        "Results of the finished runs of this model. Up and down in the table choose a run; m shows the error of its linears and, for a mixed one, "
        "the bits of each linear; F7 fills the form with its settings; y copies the path of its checkpoint, o shows its files, v verifies it.\n\n"
        "Figures marked ≠ were measured under a different convention from the chosen run and cannot be compared with it."
    )
    DEFAULT_CSS = """
    ResultsView .results--figures { height: auto; max-height: 60%; margin-bottom: 1; }
    ResultsView AssignmentMap { display: none; }
    ResultsView.-map AssignmentMap { display: block; }
    ResultsView.-map Chart { display: none; }
    ResultsView.-nothing AssignmentMap, ResultsView.-low.-table AssignmentMap { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._figures = Static(classes="results--figures turns--head", markup=False)
        self._map = AssignmentMap(classes="turns--chart")
        self._outcomes: list[Outcome] = []
        self._chosen: Outcome | None = None
        self._model = ""

    @property
    def chosen(self) -> Outcome | None:
        return self._chosen

    def compose(self) -> ComposeResult:
        yield self._figures
        yield self.table
        yield self._map
        yield self.chart

    def on_mount(self) -> None:
        for name, width in history.COLUMNS:
            self.table.add_column(name, key=name, width=width)

    def load(self, model_name: str, chosen: str | None = None) -> None:
        """Read the outcomes of a model off the event loop, then show them."""
        self._model = model_name
        self._read(model_name, chosen)

    def reload(self) -> None:
        if self._model:
            self._read(self._model, None)

    @in_thread(group="results", description="read results", exclusive=True)
    def _read(self, model_name: str, chosen: str | None) -> None:
        found = outcome.of_model(services_of(self).runs.list_runs(), model_name, self._card(model_name))
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.show, found, model_name, chosen)

    def _card(self, model_name: str) -> ModelCard | None:
        try:
            return services_of(self).models.resolve(model_name).card()
        except LlmoptError:
            return None

    def show(self, outcomes: Sequence[Outcome], model_name: str, chosen: str | None = None) -> None:
        """Show the outcomes of a model; `chosen` is the id of the run to begin with, the newest by default."""
        self._outcomes = list(outcomes)
        keep = chosen or (self._chosen.run_id if self._chosen else None)
        self._chosen = next((each for each in self._outcomes if each.run_id == keep), self._outcomes[0] if self._outcomes else None)
        self.set_class(self._chosen is None, "-nothing")
        if self._chosen is None:
            self._figures.update(Content(f"No finished quantization of {model({'model': model_name})} yet. F5 starts one, F6 compares the methods."))
        else:
            self._fill()
        self.draw()
        self.refresh_bindings()

    def figures(self) -> int:
        return 2 if self._chosen is not None and self._chosen.is_mixed else 1

    def draw(self) -> None:
        chosen = self._chosen
        if chosen is None:
            return
        head = Content.assemble((f"{chosen.recipe} of {model(chosen.values)}", "bold"), ("  " + chosen.run_id, "dim"))
        self._figures.update(Content("\n").join([head, hanging(figures.lines(chosen), self.size.width or 60)]))
        self.set_class(chosen.is_mixed and self.figure == 0, "-map")
        self._map.show([(layer.name, layer.bits) for layer in chosen.layers])
        self.chart.set_plot(layers.plot([(layer.name, layer.error) for layer in chosen.layers], of=chosen.result.error_of))

    def _fill(self) -> None:
        assert self._chosen is not None
        with self.prevent(DataTable.RowHighlighted):
            self.table.clear()
            for each in self._outcomes:
                self.table.add_row(*map(Text, history.cells(each, self._chosen)), key=each.run_id)
            self.table.move_cursor(row=self._outcomes.index(self._chosen))

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        if event.cursor_row < len(self._outcomes) and self._outcomes[event.cursor_row] is not self._chosen:
            self._chosen = self._outcomes[event.cursor_row]
            self.figure = min(self.figure, self.figures() - 1)
            self.draw()

"""What finished runs measured: the figures of one, beside the others of the same model."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import DataTable, Static
from textual.worker import get_current_worker

from core.errors import LlmoptError
from core.models.card import ModelCard
from tui.quantize import figures, history, outcome
from tui.quantize.outcome import Outcome
from tui.quantize.title import model
from tui.services import services_of
from tui.widgets.chart import Chart
from tui.widgets.hanging import hanging
from tui.widgets.threads import in_thread


class ResultsView(Vertical):
    """Figures above, all runs of the model in a table, size against quality in a chart."""

    HELP = (
        "What the finished runs of this model measured. Up and down in the table choose a run; m draws the next figure against bits per weight; "
        "F7 fills the form as it was for that run; y copies the path of its checkpoint, o shows its files.\n\n"
        "Figures marked with ≠ were measured under another convention than those of the chosen run and cannot be compared with them."
    )
    DEFAULT_CSS = """
    ResultsView { height: 1fr; }
    ResultsView .results--figures { height: auto; max-height: 12; margin-bottom: 1; }
    ResultsView DataTable { height: 1fr; min-height: 4; background: transparent; scrollbar-size-vertical: 1; }
    ResultsView Chart { height: 2fr; min-height: 6; }
    ResultsView.-nothing DataTable, ResultsView.-nothing Chart { display: none; }
    ResultsView.-low.-table Chart, ResultsView.-low.-chart DataTable { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing -table")
        self._figures = Static(classes="results--figures", markup=False)
        self._table: DataTable[Text] = DataTable(cursor_type="row", cell_padding=0)
        self._chart = Chart()
        self._outcomes: list[Outcome] = []
        self._chosen: Outcome | None = None
        self._measure = 0
        self._model = ""

    @property
    def chosen(self) -> Outcome | None:
        """The run whose figures are shown."""
        return self._chosen

    def compose(self) -> ComposeResult:
        """Figures, table, chart."""
        yield self._figures
        yield self._table
        yield self._chart

    def on_mount(self) -> None:
        """Make the columns."""
        for name, width in history.COLUMNS:
            self._table.add_column(name, key=name, width=width)

    def load(self, model_name: str, chosen: str | None = None) -> None:
        """Read the outcomes of a model off the event loop, then show them."""
        self._model = model_name
        self._read(model_name, chosen)

    def reload(self) -> None:
        """Read the outcomes of the same model again."""
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

    def on_resize(self) -> None:
        """In a low window table and chart take turns."""
        self.set_class(self.size.height < 26, "-low")
        self._draw()

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
        self._draw()
        self.refresh_bindings()

    def next_chart(self) -> None:
        """Draw the next figure against bits per weight; in a low window the table comes back after the last."""
        if self.has_class("-low") and self.has_class("-table"):
            self._turn(chart=True)
        elif self._measure + 1 == len(history.MEASURES):
            self._measure = 0
            self._turn(chart=not self.has_class("-low"))
        else:
            self._measure += 1
        self._draw()

    def _turn(self, *, chart: bool) -> None:
        self.set_class(chart, "-chart")
        self.set_class(not chart, "-table")

    def _fill(self) -> None:
        assert self._chosen is not None
        with self.prevent(DataTable.RowHighlighted):
            self._table.clear()
            for each in self._outcomes:
                self._table.add_row(*map(Text, history.cells(each, self._chosen)), key=each.run_id)
            self._table.move_cursor(row=self._outcomes.index(self._chosen))

    def _draw(self) -> None:
        if self._chosen is None:
            return
        head = Content.assemble((f"{self._chosen.recipe} of {model(self._chosen.values)}", "bold"), ("  " + self._chosen.run_id, "dim"))
        self._figures.update(Content("\n").join([head, hanging(figures.lines(self._chosen), self.size.width or 60)]))
        self._chart.set_plot(history.plot(self._outcomes, self._chosen, history.MEASURES[self._measure]))

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        if event.cursor_row < len(self._outcomes) and self._outcomes[event.cursor_row] is not self._chosen:
            self._chosen = self._outcomes[event.cursor_row]
            self._draw()

"""What finished runs measured: one setting in full, all settings of the model next to it, its charts."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable

from core.runs.state.store import Run
from core.spec import Values, short_name
from tui.experiment.finished import ReadsRuns, ResultTable
from tui.experiment.table_or_chart import TableOrChart
from tui.speculate.results import setting_lines, settings
from tui.speculate.results.settings import Entry, Shown
from tui.widgets.hanging import hanging

_TALL = 40
"""Lines from which on there is room for how it was measured."""


class SpeculateResults(TableOrChart, ReadsRuns[list[Entry]]):
    """Figures above, a row for each gamma and temperature of every run, a chart."""

    HELP = (
        "Results of the finished runs of this model, one row per gamma and temperature. Up and down choose a row; m switches charts: acceptance by "
        "position, speed-up over γ, all settings side by side; F7 fills the form with the settings of that run; F6 loads the row into the "
        "simulator.\n\n"
        "predicted is computed from the acceptance and the costs measured by the run. Speeds marked ≠ were measured on other prompts or another "
        "machine than the chosen row and are not comparable with it; ↓ is slower than plain decoding."
    )
    DEFAULT_CSS = """
    SpeculateResults.-low .turns--head { margin-bottom: 0; }
    """

    class Chosen(Message):
        """Another row is shown."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.settings: ResultTable[Shown] = ResultTable(settings.COLUMNS)
        self.table = self.settings
        self.entries: list[Entry] = []
        """Every measured setting of the model, newest run first."""
        self.chosen: Entry | None = None
        """The row that is shown in full."""

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> list[Entry]:  # noqa: ARG002
        return settings.of_model(runs, self.model_name)

    def show_found(self, found: list[Entry], run_id: str | None) -> None:
        self.entries = found
        wanted = [entry for entry in self.entries if entry.run_id == run_id]
        kept = next((entry for entry in self.entries if self.chosen is not None and entry.key == self.chosen.key), None)
        self.chosen = settings.fastest(wanted) or kept or settings.fastest(self.entries)
        self.set_class(self.chosen is None, "-nothing")
        if self.chosen is None:
            name = short_name(self.model_name)
            self.head.update(f"No finished run of {name} yet. F5 starts one; the Simulator predicts the speed-up without a run.")
        self.draw()
        self.post_message(self.Chosen())

    def values(self) -> Values | None:
        return self.chosen.run.values if self.chosen is not None else None

    def figures(self) -> int:
        return settings.FIGURES

    def draw(self) -> None:
        chosen, width = self.chosen, self.size.width
        if chosen is None or not width:
            return
        self.settings.show(settings.shown(self.entries, chosen), chosen.key)
        head = Content.assemble((setting_lines.head(chosen), "bold"), ("  " + chosen.run_id, "dim"))
        self.head.update(Content("\n").join([head, hanging(setting_lines.lines(chosen, notes=self.size.height >= _TALL), width)]))
        self.chart.set_plot(settings.figures(chosen, self.entries)[min(self.figure, self.figures() - 1)])

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        current = self.settings.current
        if current is not None and (self.chosen is None or current.entry.key != self.chosen.key):
            self.chosen = current.entry
            self.draw()
            self.post_message(self.Chosen())

"""Which smaller forms of a model are worth their size: all runs in one table, those that nothing beats marked."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable

from core.runs import pareto as core
from core.runs.state.store import Run
from core.spec import Values, short_name
from tui.experiment.finished import ReadsRuns
from tui.experiment.table_or_chart import TableOrChart
from tui.pareto import lines as pareto
from tui.widgets.hanging import hanging

Front = tuple[tuple[core.Pareto, ...], dict[str, Run]]
"""What was found, one for each measure; runs by id."""


class ParetoView(TableOrChart, ReadsRuns[Front]):
    """A table in order of size, and size against quality in a chart.

    Args:
        capability: registry key of the runs that the form next to it asks for.
    """

    HELP = (
        "Every finished quantization and pruning of this model and every row of its comparisons that was measured alike: stored bits per weight of "
        "the original model against KL divergence or perplexity ratio (m switches). Repeats that differ by noise alone are one row.\n\n"
        "◆ and the line are the Pareto front: no run is as small and better beyond noise. ○ kept no checkpoint and is never on it. The text above "
        "shows, for the run under the cursor, which run beats it, or the trade-off against its neighbours on the front. Enter shows its result, F7 "
        "fills the form with its settings."
    )
    DEFAULT_CSS = """
    ParetoView .turns--head { max-height: 8; }
    """

    class Opened(Message):
        """The result of a run was asked for."""

        def __init__(self, run: Run) -> None:
            super().__init__()
            self.run = run

    def __init__(self, capability: str, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._capability = capability
        self._found: tuple[core.Pareto, ...] = ()
        self._runs: dict[str, Run] = {}
        self._filled: tuple[object, int] | None = None

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> Front:  # noqa: ARG002
        found = tuple(core.pareto(self.model_name, by_quality=measure.metric, runs=runs) for measure in pareto.MEASURES)
        return found, {run.id: run for run in runs}

    def show_found(self, found: Front, run_id: str | None) -> None:  # noqa: ARG002
        self._found, self._runs = found
        nothing = not any(each.points for each in self._found)
        self.set_class(nothing, "-nothing")
        if nothing:
            self.head.update(f"No smaller form of {short_name(self.model_name)} has been measured yet. F5 starts a run.")
        self.draw()
        self.refresh_bindings()

    def figures(self) -> int:
        return len(pareto.MEASURES)

    @property
    def chosen(self) -> core.Point | None:
        points = self._found[self.figure].points if self._found else ()
        return points[self.table.cursor_row] if 0 <= self.table.cursor_row < len(points) else None

    def values(self) -> Values | None:
        """The form's values of the run under the cursor; None for a row of a comparison, and for a run of another tab."""
        run = self._run()
        return run.values if run is not None and run.capability == self._capability else None

    def draw(self) -> None:
        if not self._found or not any(each.points for each in self._found):
            return
        self._fill()
        self._explain()

    def _fill(self) -> None:
        found, measure = self._found[self.figure], pareto.MEASURES[self.figure]
        if self._filled == (self._found, self.figure):
            return
        chosen = self.chosen.run if self._filled is not None and self.chosen is not None else ""
        with self.prevent(DataTable.RowHighlighted):
            self.table.clear(columns=True)
            for title, width in pareto.COLUMNS:
                self.table.add_column(measure.label if title == "quality" else title, width=width)
            for point in found.points:
                self.table.add_row(*map(Text, pareto.cells(point, measure)))
            self.table.move_cursor(row=next((at for at, point in enumerate(found.points) if point.run == chosen), 0))
        self._filled = (self._found, self.figure)

    def _explain(self) -> None:
        found, measure, chosen = self._found[self.figure], pareto.MEASURES[self.figure], self.chosen
        if chosen is None:
            return
        head = Content.assemble((f"{chosen.title} of {short_name(self.model_name)}", "bold"), f"  {measure.text(chosen.quality, chosen.error)}")
        rows = [("", pareto.explained(found, chosen, measure)), *pareto.how(found)]
        self.head.update(Content("\n").join([head, hanging(rows, self.size.width or 60)]))
        self.chart.set_plot(pareto.plot(found, chosen, measure))

    def _run(self) -> Run | None:
        chosen = self.chosen
        return None if chosen is None else self._runs.get(chosen.run)

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._explain()
        self.refresh_bindings()

    @on(DataTable.RowSelected)
    def _opened(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if (run := self._run()) is not None:
            self.post_message(self.Opened(run))

"""The newest comparison of several ways to make one model smaller: a table of them, and four charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from core.result import Figures, Result
from core.runs.state.store import Run
from core.spec import Values
from tui.experiment.finished import Column, Finished, ReadsRuns, ResultTable, newest
from tui.widgets.chart.chart import Chart
from tui.widgets.chart.plot import Plot

_ROOMY = (100, 28)
"""Columns and lines from which on the four charts stand together."""

R = TypeVar("R", bound=Result)
Row = TypeVar("Row", bound=Figures)
Plots = tuple[Plot, Plot, Plot, Plot]


class ComparisonView(ReadsRuns[Finished[R] | None], Generic[R, Row]):
    """The newest comparison of the form's model. In a small window the charts take turns.

    Args:
        capability: registry key of the comparison.
        kind: of its result.
        columns: of the table.
    """

    DEFAULT_CSS: ClassVar[str] = """
    ComparisonView { height: 1fr; }
    ComparisonView .comparison--head { height: auto; }
    ComparisonView Table { max-height: 50%; overflow-x: auto; }
    ComparisonView > Container { layout: grid; grid-size: 2 2; grid-gutter: 1 2; height: 1fr; margin-top: 1; }
    ComparisonView.-small > Container { grid-size: 1 1; margin-top: 0; }
    ComparisonView.-small Chart { display: none; }
    ComparisonView.-small Chart.-chosen { display: block; }
    ComparisonView.-nothing Table, ComparisonView.-nothing > Container { display: none; }
    """

    def __init__(self, capability: str, kind: type[R], columns: Sequence[Column[Row]], id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing")
        self.capability, self._kind = capability, kind
        self._head = Static(classes="comparison--head", markup=False)
        self.table: ResultTable[Row] = ResultTable(columns)
        self._charts = tuple(Chart() for _ in range(4))
        self.compared: Finished[R] | None = None
        self._chart = 0

    # -- what a subclass says

    def rows(self, result: R) -> Sequence[tuple[str, Row]]:
        """The rows of the table, each with its key."""
        raise NotImplementedError

    def plots(self, result: R) -> Plots:
        """The four charts."""
        raise NotImplementedError

    def heading(self, compared: Finished[R]) -> Content:
        """The lines above the table."""
        raise NotImplementedError

    def nothing_yet(self) -> str:
        """How to get a first comparison."""
        raise NotImplementedError

    def values_of(self, run: Run, row: Row) -> Values | None:
        """The form's values that carry out one row; None where they are not known."""
        raise NotImplementedError

    # -- what follows from that

    def compose(self) -> ComposeResult:
        yield self._head
        yield self.table
        with Container():
            yield from self._charts

    def on_resize(self) -> None:
        self.set_class(self.size.width < _ROOMY[0] or self.size.height < _ROOMY[1], "-small")
        self._fill()

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> Finished[R] | None:
        return newest(runs, self.capability, self.model_name, self._kind, run_id)

    def show_found(self, found: Finished[R] | None, run_id: str | None) -> None:  # noqa: ARG002
        self.compared = found
        self.set_class(found is None, "-nothing")
        if found is None:
            self._head.update(self.nothing_yet())
            return
        for chart, plot in zip(self._charts, self.plots(found.result), strict=True):
            chart.set_plot(plot)
        self._choose(self._chart)
        self._fill()
        self.refresh_bindings()

    def next_chart(self) -> None:
        self._choose((self._chart + 1) % len(self._charts))

    def values(self) -> Values | None:
        """The form's values that carry out the highlighted row."""
        if self.compared is None:
            return None
        rows = self.rows(self.compared.result)
        row = rows[max(self.table.cursor_row, 0)][1] if rows else None
        return None if row is None else self.values_of(self.compared.run, row)

    def _choose(self, index: int) -> None:
        self._chart = index
        for position, chart in enumerate(self._charts):
            chart.set_class(position == index, "-chosen")

    def _fill(self) -> None:
        if self.compared is None or not self.size.width:
            return
        rows = self.rows(self.compared.result)
        self.table.show(rows)
        self.table.styles.height = 1 + len(rows)
        self._head.update(self.heading(self.compared))


def headed(title: str, original: str, cost: str, how: str, notes: Sequence[str]) -> Content:
    """The lines above a comparison: what was compared, the original, the cost, how it was measured, notes."""
    lines = [Content.assemble((title, "bold"), f"  {original}  ", (cost, "dim")), Content.styled(f"measured on {how}", "dim")]
    return Content("\n").join([*lines, *(Content.styled(note, "dim") for note in notes)])

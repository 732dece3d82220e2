"""A table and a chart: one above the other where there is room, else in turns."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import reactive
from textual.widgets import Static

from tui.widgets.chart.chart import Chart
from tui.widgets.table.table import Table

_LOW = 26
"""Lines below which table and chart take turns."""


class TableOrChart(Vertical):
    """A view with a head, a table and a chart of several figures."""

    DEFAULT_CSS = """
    TableOrChart { height: 1fr; }
    TableOrChart .turns--head { height: auto; max-height: 60%; margin-bottom: 1; }
    TableOrChart Table { height: 1fr; min-height: 4; }
    TableOrChart .turns--chart { height: 2fr; min-height: 6; }
    TableOrChart.-nothing Table, TableOrChart.-nothing .turns--chart { display: none; }
    TableOrChart.-low.-chart .turns--head { max-height: 5; }
    TableOrChart.-low.-table .turns--chart, TableOrChart.-low.-chart Table { display: none; }
    """
    figure: reactive[int] = reactive(0, init=False)
    """Which figure the chart shows."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing -table")
        self.head = Static(classes="turns--head", markup=False)
        self.table: Table[Text] = Table(cursor_type="row", cell_padding=0)
        self.chart = Chart(classes="turns--chart")

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.table
        yield self.chart

    def figures(self) -> int:
        """How many figures there are to show."""
        return 1

    def on_resize(self) -> None:
        self.set_class(self.size.height < _LOW, "-low")
        self.draw()

    def draw(self) -> None:
        """Show what is chosen."""

    def next_chart(self) -> None:
        """The next figure; in a low window the table comes back after the last."""
        if self.has_class("-low") and self.has_class("-table"):
            self._turn(chart=True)
        elif self.figure + 1 >= self.figures():
            self.figure = 0
            self._turn(chart=not self.has_class("-low"))
        else:
            self.figure += 1
        self.draw()

    def _turn(self, *, chart: bool) -> None:
        self.set_class(chart, "-chart")
        self.set_class(not chart, "-table")

    @property
    def hides_table(self) -> bool:
        return self.has_class("-low") and self.has_class("-chart")

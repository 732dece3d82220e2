"""What this machine multiplies and moves, and what that means for a model: measured as one looks, or some time ago."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable, Static

from core.benchmark.machine.events import ProductRow
from core.benchmark.machine.result import BenchmarkMachineResult
from core.runs.state.store import Run
from core.sanitize import clean
from tui.benchmark.machine import machine_words
from tui.benchmark.machine.progress import MachineProgress
from tui.benchmark.names import MACHINE, run_title
from tui.experiment.finished import ResultTable
from tui.experiment.live import LiveRun
from tui.services.services import services_of
from tui.widgets.chart.chart import Chart
from tui.widgets.hanging import hanging
from tui.widgets.table.table import Table
from tui.widgets.threads import in_thread

_LOW = 26
"""Lines below which tables, charts and words take turns."""
_STOPS = ("sizes", "sizes chart", "products", "products chart", "words")
"""What m goes through in a low window; in a high one the tables of sizes and products, each with its chart and its words."""


class MachineView(LiveRun[MachineProgress]):
    """Square products by size; the products of the model under the roofline."""

    HELP = (
        "What this machine can do at most: products of square matrices in each number format, memory copied and read. And what a model needs: the "
        "products of its decoder block while decoding (rows: sequences at once) and reading a prompt (rows: its tokens). A product with fewer "
        "operations per byte than the balance of the machine is memory-bound, one with more is compute-bound; at most is what the roofline allows, "
        "reached the measured share of it. Above 100 % the weights stay in a cache.\n\n"
        "m switches from the sizes to the model's products (in a low window charts and text alternate), up and down choose a product, ◆ marks it in "
        "the roofline. o shows the previous measurement, F7 fills the form with its settings."
    )
    NOTHING = "The machine was not measured yet. F5 measures it with the settings of the form (F6 goes to it): best while nothing else runs."
    DEFAULT_CSS = """
    MachineView ResultTable { height: auto; max-height: 33%; min-height: 4; }
    MachineView .machine--words { height: auto; max-height: 7; margin-top: 1; scrollbar-size-vertical: 1; }
    MachineView .machine--words Static { height: auto; }
    MachineView Chart { height: 1fr; min-height: 8; margin-top: 1; }
    MachineView .-away, MachineView.-nothing ResultTable, MachineView.-nothing .machine--words, MachineView.-nothing Chart { display: none; }
    MachineView.-low ResultTable { max-height: 100%; }
    MachineView.-low #sizes { max-height: 50%; }
    MachineView.-low .machine--words { height: 1fr; max-height: 100%; margin-top: 0; }
    MachineView.-low Chart { margin-top: 0; }
    MachineView.-low .live--log { display: none; }
    """

    class Chosen(Message):
        """Another measurement is shown."""

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(MachineProgress, result=BenchmarkMachineResult, id=id)
        self.sizes: ResultTable[machine_words.SizeRow] = ResultTable((), id="sizes")
        self.products: ResultTable[ProductRow] = ResultTable(())
        self.chart = Chart()
        self._words = Static(markup=False)
        self._scroll = VerticalScroll(self._words, classes="machine--words")
        self.body = (self.sizes, self.products, self._scroll, self.chart)
        self._stop = 0

    def on_mount(self) -> None:
        self._turn()

    def on_resize(self) -> None:
        self.set_class(self.size.height < _LOW, "-low")
        self._turn()

    def title(self, run: Run) -> str:
        return run_title(run)

    def measured(self, progress: MachineProgress) -> BenchmarkMachineResult:
        """The result, which holds more than the events, or as much of it as there is."""
        return self.result_as(BenchmarkMachineResult) or progress.measured()

    @property
    def stop(self) -> str:
        return _STOPS[self._stop]

    @property
    def table(self) -> Table[Text]:
        return self.sizes if self.stop.startswith("sizes") else self.products

    @property
    def hides_table(self) -> bool:
        return self.table.has_class("-away")

    def next_chart(self) -> None:
        by = 1 if self.has_class("-low") else 2
        before = self.table
        self._stop = (self._stop + by) % (len(_STOPS) if self.has_class("-low") else 4)
        self._turn()
        if before.has_focus and self.table is not before:
            self.table.focus()
        self.redraw()

    def _turn(self) -> None:
        low = self.has_class("-low")
        if not low:
            self._stop = 0 if self.stop.startswith("sizes") else 2
        self.sizes.set_class(self.stop != "sizes", "-away")
        self.products.set_class(self.stop != "products", "-away")
        self._scroll.set_class(low and self.stop not in ("sizes", "words"), "-away")
        self.chart.set_class(low and not self.stop.endswith("chart"), "-away")

    def draw(self, run: Run, progress: MachineProgress) -> None:  # noqa: ARG002
        found = self.measured(progress)
        self.set_class(not found.squares and not found.rows, "-nothing")
        width = self.size.width
        if not width:
            return
        self.sizes.use_columns(machine_words.size_columns(found, width))
        self.sizes.show([((row.device, row.size), row) for row in machine_words.sizes(found)])
        self.products.use_columns(machine_words.product_columns(found))
        self.products.show([(machine_words.product_key(row), row) for row in found.rows])
        self._draw_chosen(found, width)

    def _draw_chosen(self, found: BenchmarkMachineResult, width: int) -> None:
        chosen = self.products.current
        of_sizes = self.stop.startswith("sizes")
        self.chart.set_plot(machine_words.size_plot(found) if of_sizes else machine_words.roof_plot(found, chosen))
        self.put(self._words, self._described(found, chosen, width - 2), wraps=True)

    def _described(self, found: BenchmarkMachineResult, chosen: ProductRow | None, width: int) -> Content:
        if self.stop.startswith("sizes"):
            return hanging([*machine_words.memory(found), *machine_words.peaks(found), *machine_words.facts(found)], max(width, 20))
        parts = [] if chosen is None else [("product", machine_words.product(chosen)), *machine_words.verdict(found, chosen.device, chosen.dtype)]
        return hanging([*parts, *(("note", clean(note, limit=600)) for note in reversed(found.notes))], max(width, 20))

    @in_thread(group="earlier", description="find earlier measurements", exclusive=True)
    def earlier(self) -> None:
        """Show the measurement before this one, after the first one the newest."""
        runs = [run for run in services_of(self).runs.list_runs() if run.capability == MACHINE]
        self.app.call_from_thread(self._go_to, runs)

    def _go_to(self, runs: list[Run]) -> None:
        at = next((at for at, run in enumerate(runs) if self.follower is not None and run.id == self.follower.run.id), -1)
        if runs and (self.follower is None or runs[(at + 1) % len(runs)].id != self.follower.run.id):
            self.follow(runs[(at + 1) % len(runs)])
            self.post_message(self.Chosen())

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        if self.follower is not None and self.size.width:
            self._draw_chosen(self.measured(self.follower.progress), self.size.width)

"""Continuous against static batching, simulated at the size of a model: as it goes and when it is done."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from core.kvcache.pages.result import PagesResult, PolicyRow
from core.runs.state.store import Run
from tui.experiment.live import LiveRun
from tui.kvcache.pages import scheduling
from tui.kvcache.pages.blocks import PagesProgress
from tui.widgets.chart.chart import Chart
from tui.widgets.hanging import hanging
from tui.widgets.live import LiveLines

_ROOMY = 30
"""Lines from which on the table, the chart and its words stand together."""


class SimulationView(LiveRun[PagesProgress]):
    """Two simulated schedulers side by side."""

    NOTHING = "No simulation yet. Set mode to simulate in the form of the pages: continuous against static batching at the size of a model."
    DEFAULT_CSS = """
    SimulationView { height: auto; border-top: solid $panel; }
    SimulationView LiveLines { height: auto; }
    SimulationView .simulation--verdict, SimulationView .simulation--how { height: auto; }
    SimulationView .simulation--how { max-height: 6; color: $text-muted; }
    SimulationView Chart { height: 12; }
    SimulationView.-nothing LiveLines { display: none; }
    SimulationView.-going Chart, SimulationView.-going .simulation--verdict, SimulationView.-going .simulation--how { display: none; }
    SimulationView.-alone { height: 1fr; border-top: none; }
    SimulationView.-cramped.-table Chart, SimulationView.-cramped.-table .simulation--how { display: none; }
    SimulationView.-cramped.-chart LiveLines { display: none; }
    SimulationView.-alone Chart { height: 1fr; min-height: 6; }
    """

    def __init__(self) -> None:
        super().__init__(PagesProgress, result=PagesResult)
        self._lines = LiveLines()
        self._verdict = Static(classes="simulation--verdict", markup=False)
        self._how = Static(classes="simulation--how", markup=False)
        self._chart = Chart()
        self.body = (self._verdict, self._lines, self._chart, self._how)
        self.add_class("-going", "-table")

    def on_resize(self) -> None:
        self.set_class(self.has_class("-alone") and self.size.height < _ROOMY, "-cramped")

    @property
    def result(self) -> PagesResult | None:
        return self.result_as(PagesResult)

    def turn(self) -> bool:
        """In a cramped window: the chart in the table's place, or the table again; whether the chart has come."""
        chart = self.has_class("-cramped") and self.has_class("-table") and self.result is not None
        self.set_class(chart, "-chart")
        self.set_class(not chart, "-table")
        return chart

    def draw(self, run: Run, progress: PagesProgress) -> None:  # noqa: ARG002
        result, width = self.result, self.size.width
        self.set_class(result is None, "-going")
        self.set_class(not progress.schedules and result is None, "-nothing")
        if not width:
            return
        rows = [] if result is None else [row for row in result.rows if isinstance(row, PolicyRow)]
        lines = scheduling.table(rows, width) if rows else scheduling.in_progress(progress, width)
        self._lines.show_all(lines)
        if result is not None:
            self._verdict.update(Content.assemble((f"{scheduling.LABEL}, nothing was measured. ", "bold $text-warning"), scheduling.verdict(result)))
            self._how.update(hanging(scheduling.how(result), width))
            self._chart.set_plot(scheduling.load_plot(result))

"""The KV-cache tab: schemes side by side, why a cache, its pages live, what fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from core.kvcache.pages.spec import PagesSpec
from core.kvcache.result import KvCacheResult
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.spec import KvCacheWhySpec
from core.runs.state.store import Run
from tui.experiment.finished import of_model
from tui.experiment.live import LiveRun
from tui.experiment.names import LIVE, SETUP
from tui.experiment.pane import ExperimentPane, common_bindings
from tui.kvcache.fit.view import FitView
from tui.kvcache.pages.view import PagesView
from tui.kvcache.schemes.chart_view import ChartView
from tui.kvcache.schemes.entries import KvRun
from tui.kvcache.schemes.in_progress import SchemesInProgress
from tui.kvcache.schemes.table_view import TableView
from tui.kvcache.setup.setup import setups
from tui.kvcache.why.view import WhyView
from tui.services.services import services_of
from tui.widgets.threads import in_thread

TABLE, CHART, WHY, PAGES, FIT = "Table", "Chart", "Why", "Pages", "Fit"

__all__ = ["CHART", "FIT", "LIVE", "PAGES", "SETUP", "TABLE", "WHY", "KvCachePane"]


class KvCachePane(ExperimentPane):
    """Three forms, three kinds of runs, and a calculator that needs none."""

    HELP = (
        "What a model keeps of the text it has read, how much memory that takes, and what happens to quality and speed when it keeps less.\n\n"
        "Setup has three forms (experiment, at the top): schemes compares caches on the same model and text; why generates with and without a cache; "
        "pages shows the blocks of a paged cache while several sequences are decoded, or simulates a scheduler. F6 switches between them, F5 starts "
        "the run; it continues without this program. F4 switches views; w, p and k open why, pages and the calculator (fit).\n\n"
        "Table and chart compare the schemes of the newest run or, with c, of every run of the model."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *common_bindings("kv", views="setup, live, table, chart, why, pages, fit"),
        Binding("f6", "next_form", "Experiment", id="kv.experiment", tooltip="Switch to the next experiment: schemes, why, pages"),
        Binding("c", "all_runs", "All runs", id="kv.all-runs", tooltip="Show one run or every run of the model"),
        Binding("m", "next_chart", "Next figure", id="kv.figure", tooltip="Show the next figure, or the hidden one"),
        Binding("w", f"show_view('{WHY}')", "Why", show=False, id="kv.why", tooltip="Compare a cache with none"),
        Binding("p", f"show_view('{PAGES}')", "Pages", show=False, id="kv.pages", tooltip="Show the blocks of a paged cache"),
        Binding("k", f"show_view('{FIT}')", "Fit", show=False, id="kv.fit", tooltip="Show what context and how many sequences fit"),
    ]
    WHOLE = frozenset({TABLE, CHART, FIT})
    FORMS: ClassVar[Mapping[str, str]] = {TABLE: KvCacheSpec.capability, CHART: KvCacheSpec.capability}

    def __init__(self) -> None:
        self.schemes = SchemesInProgress(id=LIVE)
        self.table, self.chart = TableView(id=TABLE), ChartView(id=CHART)
        self.why, self.pages, self.calculator = WhyView(id=WHY), PagesView(id=PAGES), FitView(id=FIT)
        lives: dict[str, LiveRun[Any]] = {
            KvCacheSpec.capability: self.schemes,
            KvCacheWhySpec.capability: self.why,
            PagesSpec.capability: self.pages.decode,
        }
        views = (self.schemes, self.table, self.chart, self.why, self.pages, self.calculator)
        super().__init__(setups(SETUP), lives, views)
        self._runs: Sequence[KvRun] = ()
        self._model = ""
        self._several = False

    # -- live views

    def live_of(self, run: Run) -> LiveRun[Any]:
        return self.pages.live_of(run) if run.capability == PagesSpec.capability else super().live_of(run)

    def all_lives(self) -> Sequence[LiveRun[Any]]:
        return (self.schemes, self.why, self.pages.decode, self.pages.simulation)

    def started(self, run: Run) -> None:
        if run.capability == PagesSpec.capability:
            self.pages.turn_to(run)
        super().started(run)

    # -- results

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "all_runs":
            return self.bar.active in (TABLE, CHART) and len(self._runs) > 1
        return super().check_action(action, parameters)

    def load_model(self, model: str) -> None:
        self._model = model
        self.calculator.load(model)
        self._read(model, None)

    def reload(self) -> None:
        if self._model:
            self._read(self._model, None)

    def show_result(self, run: Run, *, follow: bool) -> None:
        """A comparison that is done goes over into the table; the other runs show their results where they are followed."""
        if run.capability != KvCacheSpec.capability:
            return
        self._read(run.asked_model, run.id)
        if follow:
            self.show_view(TABLE)

    @in_thread(group="results", description="read results", exclusive=True)
    def _read(self, model: str, first: str | None) -> None:
        found = of_model(services_of(self).runs.list_runs(), KvCacheSpec.capability, model, KvCacheResult)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._show, model, found, first)

    def _show(self, model: str, found: Sequence[KvRun], first: str | None) -> None:
        self._model = model
        self._runs = sorted(found, key=lambda each: each.run.id != first) if first is not None else found
        if first is not None:
            self._several = False
        self._draw()
        self.refresh_bindings()

    def _draw(self) -> None:
        shown = self._runs if self._several else self._runs[:1]
        self.table.show(self._model, shown)
        self.chart.show(self._model, shown)

    @on(TableView.Alone)
    def _alone(self, event: TableView.Alone) -> None:
        event.stop()
        self._show(self._model, self._runs, event.run_id)

    # -- actions

    def action_all_runs(self) -> None:
        self._several = not self._several
        self._draw()

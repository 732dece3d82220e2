"""The Benchmark tab: load-test a server, watch it, compare servers, start and stop them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from core.runs.state.store import Run
from core.sanitize import clean
from tui.benchmark.live.load_view import BenchmarkLive
from tui.benchmark.live.pausing import PAUSE_BINDINGS, PausesLoads
from tui.benchmark.machine.view import MachineView
from tui.benchmark.names import BENCHMARK, COMPARE, MEASURED, SERVE
from tui.benchmark.names import MACHINE as MACHINE_RUNS
from tui.benchmark.results import entries
from tui.benchmark.results.entries import BenchmarkRun
from tui.benchmark.results.view import ResultsView
from tui.benchmark.servers.view import ServersView
from tui.benchmark.setup.ask_key import AsksForKey
from tui.benchmark.setup.setup import LOAD, SERVER, setups
from tui.benchmark.setup.setup import MACHINE as MACHINE_FORM
from tui.experiment.live import LiveRun
from tui.experiment.names import LIVE, SETUP
from tui.experiment.pane import common_bindings
from tui.services.services import services_of
from tui.shell.confirm import Confirm
from tui.widgets.threads import in_thread

RESULTS, SERVERS, MACHINE = "Results", "Servers", "Machine"
_FORMS = {SERVERS: SERVER, MACHINE: MACHINE_FORM}
"""Views that have a form of their own."""

__all__ = ["LIVE", "MACHINE", "RESULTS", "SERVERS", "SETUP", "BenchmarkPane"]


class BenchmarkPane(AsksForKey, PausesLoads):
    """Forms and check on the left; the load as it goes, results and servers on the right."""

    HELP = (
        "Load-test a server: one started for the model of the form, or a running one, by its address in place of the model.\n\n"
        "Below the form is what F5 will do: the engine and its version, the exact command (y copies it), the number of requests, the estimated time. "
        "F6 switches to the form of a comparison (the same load on several engines, one after another), of a server that runs until it is stopped (s "
        "starts it, x stops the one chosen under Servers, u puts its address into the form of a load) and of the machine itself: its matrix products "
        "and its memory. Runs and servers continue without this program. F4 switches views."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "stop_server", "Stop server", id="benchmark.stop-server", tooltip="Stop the server under the cursor, after confirmation"),
        Binding("u", "use_server", "Measure it", id="benchmark.use-server", tooltip="Put the address of the server under the cursor into the form"),
        *PAUSE_BINDINGS,
        *common_bindings("benchmark", views="setup, live, results, servers, machine"),
        Binding(
            "f6",
            "next_form",
            "Experiment",
            show=False,
            id="benchmark.experiment",
            tooltip="Switch to the next form: a load, several engines, a server, the machine",
        ),
        Binding("c", "all_runs", "All runs", id="benchmark.all-runs", tooltip="Show the loads on this model, or on all models and addresses"),
        Binding("m", "next_chart", "Next chart", id="benchmark.chart", tooltip="Show the next chart, or the hidden one"),
        Binding(
            "s", "start_server", "Start server", id="benchmark.start-server", tooltip="Start the server of the form; it runs until it is stopped"
        ),
        Binding("o", "earlier", "Earlier", id="benchmark.earlier", tooltip="Show the measurement of the machine before this one"),
        Binding("v", "columns", "Columns", id="benchmark.columns", tooltip="Show the other columns of the results: latencies, or memory and quality"),
        Binding("b", "reference", "Reference", id="benchmark.reference", tooltip="Compare the other results with the one under the cursor"),
        Binding("y,f9", "copy", "Copy", id="benchmark.copy", tooltip="Copy the server's command or address to the clipboard"),
    ]
    WHOLE = frozenset({RESULTS})

    def __init__(self) -> None:
        self.forms = setups(SETUP)
        self.load_view = BenchmarkLive(id=LIVE)
        self.results = ResultsView(id=RESULTS)
        self.servers = ServersView(id=SERVERS)
        self.machine = MachineView(id=MACHINE)
        lives: dict[str, LiveRun[Any]] = {
            BENCHMARK: self.load_view,
            COMPARE: self.load_view,
            SERVE: self.servers,
            MACHINE_RUNS: self.machine,
        }
        super().__init__(self.forms, lives, (self.load_view, self.results, self.servers, self.machine))
        self._runs: Sequence[BenchmarkRun] = ()
        self._model = ""
        self._several = False
        self._form_before = LOAD

    # -- forms

    def show_view(self, view: str) -> None:
        """Bring a view to the front; servers and the machine are next to their own forms, and when they are left the form of a load comes back."""
        if view in _FORMS and self.forms.chosen not in _FORMS.values():
            self._form_before = self.forms.chosen
        elif view not in (*_FORMS, SETUP) and self.forms.chosen == _FORMS.get(self.bar.active):
            self.forms.choose(self._form_before)
        super().show_view(view)

    def _form_of(self, view: str) -> str | None:
        return {SERVERS: SERVE, MACHINE: MACHINE_RUNS}.get(view)

    def action_next_form(self) -> None:
        chosen = self.forms.chosen
        self.show_view(SETUP)
        self.forms.choose(chosen)
        self.forms.choose_next()
        self.keep_focus()

    def action_again(self) -> None:
        if self.bar.active == RESULTS and self.results.chosen is not None:
            self.forms.choose_capability(self.results.chosen.run.capability)
        elif self.values_shown() is not None and self.live.follower is not None:
            self.forms.choose_capability(self.live.follower.run.capability)
        super().action_again()

    # -- runs

    @property
    def going(self) -> LiveRun[Any] | None:
        """The load or measurement that is not over; a running server is there to be measured, and no reason to wait."""
        lives: tuple[LiveRun[Any], ...] = (self.load_view, self.machine)
        return next((live for live in lives if live.going), None)

    # -- results

    def load_model(self, model: str) -> None:
        self._model = model
        self._read(None)

    def reload(self) -> None:
        self._read(None)
        self.servers.look_around()

    def show_result(self, run: Run, *, follow: bool) -> None:
        if run.capability in MEASURED:
            self._model = run.model or self._model
            self._read(run.id)
            if follow:
                self.show_view(RESULTS)

    @in_thread(group="results", description="read results", exclusive=True)
    def _read(self, first: str | None) -> None:
        found = entries.of_runs(services_of(self).runs.list_runs())
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._show, found, first)

    def _show(self, found: Sequence[BenchmarkRun], first: str | None) -> None:
        self._runs = found
        self._draw()
        if first is not None:
            self.results.go_to(first)
        self.refresh_bindings()

    def _draw(self) -> None:
        mine = [each for each in self._runs if each.run.model == self._model]
        shown = self._runs if self._several else mine
        self.results.show(self._model, shown, everything=self._several, more=len(self._runs) - len(mine))

    @on(ResultsView.Chosen)
    @on(ServersView.Chosen)
    @on(MachineView.Chosen)
    def _row_chosen(self, event: ResultsView.Chosen | ServersView.Chosen | MachineView.Chosen) -> None:
        event.stop()
        self.refresh_bindings()

    # -- actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        chosen = self.servers.chosen if self.bar.active == SERVERS else None
        match action:
            case "all_runs":
                return self.bar.active == RESULTS and bool(self._runs)
            case "columns":
                return self.bar.active == RESULTS and self.results.chosen is not None
            case "earlier":
                return self.bar.active == MACHINE and self.machine.follower is not None
            case "reference":
                return self.bar.active == RESULTS and self.results.can_mark
            case "copy":
                return bool(self.to_copy())
            case "start_server":
                return not services_of(self).read_only and (self.bar.active == SERVERS or self.forms.chosen == SERVER)
            case "stop_server":
                return chosen is not None and chosen.going and not services_of(self).read_only
            case "use_server":
                return chosen is not None and chosen.answers
            case "cancel" if self.bar.active == SERVERS:
                return self.check_action("stop_server", ())
        return super().check_action(action, parameters)

    def to_copy(self) -> str:
        """What y copies: of the form what it starts or attaches to, of a result how its server was started, of a server its address."""
        match self.bar.active:
            case "Results":
                return self.results.to_copy()
            case "Servers":
                return self.servers.to_copy()
        return self.forms.command

    def action_all_runs(self) -> None:
        self._several = not self._several
        self._draw()

    def action_copy(self) -> None:
        if text := self.to_copy():
            self.copy(text)

    def action_columns(self) -> None:
        self.results.next_columns()
        self.keep_focus()

    def action_earlier(self) -> None:
        self.machine.earlier()

    def action_reference(self) -> None:
        self.results.mark_reference()

    def action_cancel(self) -> None:
        if self.bar.active == SERVERS:
            self.action_stop_server()
        else:
            super().action_cancel()

    def action_start_server(self) -> None:
        self.forms.choose(SERVER)
        self.action_start()

    def action_stop_server(self) -> None:
        chosen = self.servers.chosen
        if chosen is None or not chosen.going:
            return
        where = f" at {clean(chosen.url)}" if chosen.url else ""
        text = f"Stop the {self.servers.title(chosen.run)}{where}? Requests in flight get no response."

        def answered(yes: bool | None) -> None:
            if yes:
                self._cancel(self.servers, chosen.run)

        self.app.push_screen(Confirm(text, yes="Stop it", no="Keep running"), answered)

    def action_use_server(self) -> None:
        chosen = self.servers.chosen
        if chosen is not None and chosen.answers:
            self.forms.choose(LOAD)
            if self.bar.active == SERVERS:
                self.show_view(LIVE)
            self.prefill({"model": chosen.url, "engine": chosen.engine})

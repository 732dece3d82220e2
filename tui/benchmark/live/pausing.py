"""Letting a load wait and go on, and what stays of one that is stopped: the part of the Benchmark tab that does it."""

from __future__ import annotations

from collections.abc import Callable

from textual.binding import Binding

from core.errors import LlmoptError
from core.runs.state.state import State
from core.runs.state.store import Run
from tui.benchmark.live.load_view import BenchmarkLive, LoadFollower
from tui.benchmark.names import MEASURED
from tui.experiment.names import LIVE
from tui.experiment.pane import ExperimentPane
from tui.services.services import services_of
from tui.widgets.threads import in_thread

PAUSE_BINDINGS: tuple[Binding, ...] = (
    Binding("p", "pause", "Pause", id="benchmark.pause", tooltip="Pause the load: no new requests are sent, requests in flight finish"),
    Binding("p", "go_on", "Resume", id="benchmark.go-on", tooltip="Resume the paused load"),
)
_KEPT = "Requests answered so far are kept as a result."


class PausesLoads(ExperimentPane):
    """A tab whose live view follows loads (`load_view`)."""

    load_view: BenchmarkLive

    @property
    def load(self) -> LoadFollower | None:
        return self.load_view.load

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("pause", "go_on"):
            load = self.load
            here = load is not None and not load.over and self.bar.active == LIVE and not services_of(self).read_only
            return here and load is not None and load.wished == (action == "go_on")
        return super().check_action(action, parameters)

    def action_pause(self) -> None:
        if self.load is not None:
            self._turn(self.load, services_of(self).runs.pause)

    def action_go_on(self) -> None:
        if self.load is not None:
            self._turn(self.load, services_of(self).runs.go_on)

    @in_thread(group="pause", description="pause or resume a load")
    def _turn(self, load: LoadFollower, do: Callable[[Run], State]) -> None:
        try:
            do(load.run)
        except LlmoptError as error:
            self.app.call_from_thread(self.shell.notify_text, str(error), severity="error")
        self.app.call_from_thread(self.load_view.look, always=True)

    def what_stays(self, run: Run, state: State) -> str:
        """What is left of a run that is stopped now."""
        return _KEPT if run.capability in MEASURED else super().what_stays(run, state)

    def has_result(self, run: Run, state: State) -> bool:
        """Whether a run that is over left figures: a load that was stopped, or whose server ended, has those of what was answered."""
        load = self.load
        return load.has_result if load is not None and load.run.id == run.id else super().has_result(run, state)

"""The runs of this machine, as panes see them."""

from __future__ import annotations

from core.runs.launch.admission import Admission, Find, admit
from core.runs.launch.begin import begin
from core.runs.launch.finish import finish
from core.runs.launch.launch import LocalLauncher
from core.runs.launch.pause import go_on, pause
from core.runs.launch.resume import resume
from core.runs.state import store
from core.runs.state.state import State
from core.runs.state.store import Run
from core.spec import Spec


class LiveRuns:
    """`core.runs` over the runs of this home.

    Args:
        find: looks up the models of requests, without fetching them: only a run may take that time.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._launcher = LocalLauncher()

    def list_runs(self) -> list[Run]:
        return store.list_runs()

    def get(self, run_id: str) -> Run:
        return store.find(run_id)

    def state(self, run: Run) -> State:
        return self._launcher.refresh(run)

    def admit(self, spec: Spec) -> Admission:
        return admit(spec, self._find)

    def start(self, spec: Spec) -> Run:
        return begin(spec, self._launcher, self._find)

    def cancel(self, run: Run) -> State:
        """SIGTERM to the worker's group, SIGKILL after its grace; returns when the run is over."""
        return self._launcher.cancel(run)

    def pause(self, run: Run) -> State:
        return pause(run, self._launcher)

    def go_on(self, run: Run) -> State:
        return go_on(run, self._launcher)

    def finish(self, run: Run) -> State:
        return finish(run, self._launcher)

    def resume(self, run: Run) -> State:
        return resume(run, self._launcher)

    def remove(self, run: Run) -> None:
        store.remove(run)

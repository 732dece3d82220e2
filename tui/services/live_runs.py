"""The runs of this machine, as panes see them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.runs.launch.admission import Admission, Find
    from core.runs.launch.launch import Launcher
    from core.runs.state.state import State
    from core.runs.state.store import Run
    from core.spec import Spec


class LiveRuns:
    """`core.runs`, imported when it is first needed.

    Args:
        find: looks up the models of requests, without fetching them: only a run may take that time.
    """

    def __init__(self, find: Find) -> None:
        self._find = find

    @cached_property
    def _launcher(self) -> Launcher:
        from core.runs.launch.launch import LocalLauncher

        return LocalLauncher()

    def list_runs(self) -> list[Run]:
        from core.runs.state import store

        return store.list_runs()

    def get(self, run_id: str) -> Run:
        from core.runs.state import store

        return store.find(run_id)

    def state(self, run: Run) -> State:
        return self._launcher.refresh(run)

    def admit(self, spec: Spec) -> Admission:
        from core.runs.launch.admission import admit

        return admit(spec, self._find)

    def start(self, spec: Spec) -> Run:
        from core.runs.launch.begin import begin

        return begin(spec, self._launcher, self._find)

    def cancel(self, run: Run) -> State:
        """SIGTERM to the worker's group, SIGKILL after its grace; returns when the run is over."""
        return self._launcher.cancel(run)

    def pause(self, run: Run) -> State:
        from core.runs.launch.pause import pause

        return pause(run, self._launcher)

    def go_on(self, run: Run) -> State:
        from core.runs.launch.pause import go_on

        return go_on(run, self._launcher)

    def resume(self, run: Run) -> State:
        from core.runs.launch.resume import resume

        return resume(run, self._launcher)

    def remove(self, run: Run) -> None:
        from core.runs.state import store

        store.remove(run)

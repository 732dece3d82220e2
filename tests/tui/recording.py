"""Runs that nothing carries out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.runs.launch.admission import Find
from core.runs.state.store import Run
from core.spec import Spec
from tui.services.live_runs import LiveRuns


class RecordingRuns(LiveRuns):
    """Starts nothing: notes what was asked for, and leaves a run in progress.

    Args:
        find: looks models up.
        going: makes a run in progress out of a request and an id.
    """

    def __init__(self, find: Find, going: Callable[[Spec, str], Run]) -> None:
        super().__init__(find)
        self.started: list[Spec] = []
        self.cancelled: list[str] = []
        self._going = going

    def start(self, spec: Spec) -> Any:
        self.admit(spec)
        self.started.append(spec)
        return self._going(spec, f"20260101-1159{len(self.started):02}-{spec.capability}-00ff")

    def cancel(self, run: Any) -> Any:
        self.cancelled.append(run.id)
        state = run.state.model_copy(update={"status": "cancelled", "ended": run.state.created + 5})
        run.save_state(state)
        return state

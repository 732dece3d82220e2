"""Runs that nothing carries out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.runs.state.store import Run
from core.spec import Spec
from tui.services.live_runs import LiveRuns


class RecordingRuns(LiveRuns):
    """Starts nothing: notes what was asked for, and leaves a run that goes on.

    Args:
        going: makes a run that goes on out of a request and an id.
    """

    def __init__(self, going: Callable[[Spec, str], Run]) -> None:
        super().__init__()
        self.started: list[Spec] = []
        self.cancelled: list[str] = []
        self._going = going

    def start(self, spec: Spec) -> Any:
        self.started.append(spec)
        return self._going(spec, f"20260101-1159{len(self.started):02}-{spec.capability}-00ff")

    def cancel(self, run: Any) -> Any:
        self.cancelled.append(run.id)
        state = run.state.model_copy(update={"status": "cancelled", "ended": run.state.created + 5})
        run.save_state(state)
        return state

"""Follows one run: state, new events and result. Touches the disk: call it off the event loop."""

from __future__ import annotations

from typing import Generic, TypeVar

from core.result import Result
from core.runs.state.state import State
from core.runs.state.store import Run
from tui.experiment.progress import RunProgress
from tui.services.services import Runs

T = TypeVar("T", bound=RunProgress)


class Follower(Generic[T]):
    """A run, what was read of it, and where to read on.

    Args:
        run: to follow.
        progress: that takes in its events.
        kind: of the result to read when the run is done; None: read none.
    """

    def __init__(self, run: Run, progress: T, kind: type[Result] | None = None) -> None:
        self.run = run
        self.progress = progress
        self.state: State = run.state
        self.result: Result | None = None
        self._kind = kind
        self._offset = 0

    @property
    def over(self) -> bool:
        """Whether everything was read of a run that is over."""
        return self.state.is_over

    def look(self, runs: Runs) -> None:
        """Read what is new. The state comes first, so that a run seen as over has no events that were not read."""
        state = runs.state(self.run)
        before = -1
        while before != self._offset:
            before = self._offset
            new, self._offset = self.run.new_events(self._offset)
            self.progress.add(new)
        if self._kind is not None and self.result is None and state.status == "done":
            self.result = self.run.result_as(self._kind)
        self.state = state

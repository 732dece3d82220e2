"""Remembers which runs are over, so that their files are not read again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.runs.state.state import State
    from core.runs.state.store import Run


class Over:
    """A run that is done stays so; one that failed or was cancelled may go on: its state.json is looked at, not read."""

    def __init__(self) -> None:
        self._done: set[str] = set()
        self._stopped: dict[str, int] = {}
        self._looked: dict[str, int] = {}

    def knows(self, run: Run) -> bool:
        """Whether the run was over when it was last read, and nothing has been written since. Ask before reading its state."""
        if run.id in self._done:
            return True
        stamp = _written(run)
        self._looked[run.id] = stamp
        return self._stopped.get(run.id) == stamp

    def note(self, run: Run, state: State) -> None:
        """Take in a state that was read after `knows` was asked."""
        stamp = self._looked.pop(run.id, 0)
        self._stopped.pop(run.id, None)
        if state.status == "done":
            self._done.add(run.id)
        elif state.is_over:
            self._stopped[run.id] = stamp


def _written(run: Run) -> int:
    try:
        return (run.path / "state.json").stat().st_mtime_ns
    except OSError:
        return -1

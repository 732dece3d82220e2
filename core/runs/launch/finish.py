"""Let a run come to its end early: what it has reached is kept, measured and written as if that had been asked for.

As a pause it is a file in the run's folder, which any terminal may put there.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from core.context import RunContext
from core.errors import RequestError
from core.runs.launch.asking import ask, going
from core.runs.launch.launch import Launcher
from core.runs.registry import CAPABILITIES
from core.runs.state.state import State
from core.runs.state.store import Run


@runtime_checkable
class Finishable(Protocol):
    """A context that knows of early ends."""

    def finish_asked(self) -> bool:
        """Whether the user wants the run to come to its end."""


def finish_asked(context: RunContext) -> bool:
    """Whether the user wants a run to come to its end; of a context that knows of none never."""
    return isinstance(context, Finishable) and context.finish_asked()


def finishable(run: Run, state: State) -> bool:
    """Whether `finish` would take the run."""
    entry = CAPABILITIES.get(run.capability)
    return entry is not None and entry.finishable and not state.is_over and not run.finish_file.exists()


def finish(run: Run, launcher: Launcher) -> State:
    """Ask a run to come to its end with what it has.

    Raises:
        RequestError: it is over, was asked already, or is of a kind that has nothing before its end.
        RunFailed: its folder may not be written.
    """
    state = going(run, launcher)
    if run.finish_file.exists():
        raise RequestError(f"run {run.id} was asked to finish already: it evaluates and writes what it has")
    if not finishable(run, state):
        kinds = ", ".join(sorted(key for key, entry in CAPABILITIES.items() if entry.finishable))
        raise RequestError(f"runs of {run.capability} cannot finish early, only those of {kinds}: cancel it with `llmopt runs cancel {run.id}`")
    ask(run, run.finish_file)
    return state

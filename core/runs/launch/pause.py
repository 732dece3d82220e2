"""Let a run wait: it lives, keeps what it holds, and does nothing new until it is asked to continue.

A run is paused while a file lies in its folder, so that every terminal sees it and anyone who may write there can let it go on.
"""

from __future__ import annotations

import contextlib
import time
from typing import Protocol, runtime_checkable

from core.context import RunContext
from core.errors import RequestError, RunFailed
from core.runs.launch.asking import ask, going
from core.runs.launch.launch import Launcher
from core.runs.registry import CAPABILITIES
from core.runs.state.files import why
from core.runs.state.state import State
from core.runs.state.store import Run

_LOOK = 0.1


@runtime_checkable
class Pausable(Protocol):
    """A context that knows of pauses."""

    def pause_asked(self) -> bool:
        """Whether the user wants the run to wait."""


def pause_asked(context: RunContext) -> bool:
    """Whether the user wants a run to wait; of a context that knows of no pauses never."""
    return isinstance(context, Pausable) and context.pause_asked()


def pausable(run: Run, state: State) -> bool:
    """Whether `pause` would take the run."""
    entry = CAPABILITIES.get(run.capability)
    return entry is not None and entry.pausable and not state.is_over


def is_paused(run: Run, state: State) -> bool:
    """Whether a run was asked to wait and is not over."""
    return not state.is_over and run.pause_file.exists()


def pause(run: Run, launcher: Launcher) -> State:
    """Ask a run to wait. It does at its next step; what it has begun it ends.

    Raises:
        RequestError: it is over, waits already, or is of a kind that cannot.
        RunFailed: its folder may not be written.
    """
    state = going(run, launcher)
    if not pausable(run, state):
        kinds = ", ".join(sorted(key for key, entry in CAPABILITIES.items() if entry.pausable))
        raise RequestError(f"runs of {run.capability} cannot be paused, only those of {kinds}: cancel it with `llmopt runs cancel {run.id}`")
    if run.pause_file.exists():
        raise RequestError(f"run {run.id} is already paused: `llmopt runs resume {run.id}` resumes it")
    ask(run, run.pause_file)
    return state


def go_on(run: Run, launcher: Launcher) -> State:
    """Let a run that waits go on.

    Raises:
        RequestError: it does not wait.
        RunFailed: its folder may not be written.
    """
    state = launcher.refresh(run)
    if not is_paused(run, state):
        raise RequestError(f"run {run.id} is not paused ({state.status})")
    try:
        run.pause_file.unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(why(error, run.path)) from error
    return state


def forget(run: Run) -> None:
    """Neither a pause nor an early end is asked of a run that is over."""
    with contextlib.suppress(OSError):
        run.pause_file.unlink(missing_ok=True)
        run.finish_file.unlink(missing_ok=True)


def wait_while_paused(context: RunContext) -> None:
    """Return when the run may go on. Raises Cancelled: by the user."""
    context.check_cancelled()
    if not pause_asked(context):
        return
    context.log("paused")
    while pause_asked(context):
        time.sleep(_LOOK)
        context.check_cancelled()
    context.log("resumed")

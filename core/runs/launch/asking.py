"""Files in a run's folder by which something is asked of it: every terminal sees them, and anyone who may write there can put them."""

from __future__ import annotations

from pathlib import Path

from core.errors import RequestError, RunFailed
from core.runs.launch.launch import Launcher
from core.runs.state.files import why
from core.runs.state.state import State
from core.runs.state.store import Run


def going(run: Run, launcher: Launcher) -> State:
    """The state of a run that something can be asked of. Raises RequestError: it is over."""
    state = launcher.refresh(run)
    if state.is_over:
        raise RequestError(f"run {run.id} has already ended ({state.status})")
    return state


def ask(run: Run, file: Path) -> None:
    """Put a file into the folder of a run. Raises RunFailed: it may not be written."""
    try:
        file.touch()
    except OSError as error:
        raise RunFailed(why(error, run.path)) from error

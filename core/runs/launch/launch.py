"""Start a run, stop it, and find out whether it still lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

import core
from core.errors import RequestError, RunFailed
from core.measure.limits import cores, cpu_quota
from core.runs.state.files import why
from core.runs.state.home import home
from core.runs.state.process import alive
from core.runs.state.state import State
from core.runs.state.store import Run
from core.runs.state.verdict import close, died

GRACE = 10.0
"""Seconds between the request to stop and SIGKILL."""
_START_WITHIN = 60.0
_POLL = 0.02


class Launcher(Protocol):
    """Brings runs to a machine."""

    def start(self, run: Run) -> State:
        """Start a queued run and return when it has begun."""

    def cancel(self, run: Run, grace: float = GRACE) -> State:
        """Stop a run and return when it is over."""

    def refresh(self, run: Run) -> State:
        """The state of a run, after a look whether its worker still lives."""


class LocalLauncher:
    """Runs on this machine, each in a session of its own that outlives the terminal."""

    def __init__(self, command: tuple[str, ...] = (sys.executable, "-P", "-X", "faulthandler", "-m", "core.runs.worker")) -> None:
        self._command = command
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, run: Run) -> State:
        """Start the worker of a queued run; return once it has begun, or has failed to. Raises RunFailed: the worker's process could not be made."""
        try:
            with run.log_file.open("ab") as log:
                child = subprocess.Popen(
                    [*self._command, str(run.path)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=_environment(),
                    cwd=_folder(run),
                )
        except OSError as error:
            close(run, run.state, "failed", why(error, run.log_file), 1)
            raise RunFailed(why(error, run.log_file)) from error
        self._children[run.id] = child
        deadline = time.monotonic() + _START_WITHIN
        while (state := run.state).status == "queued" and time.monotonic() < deadline:
            if child.poll() is not None and run.state.status == "queued":
                return close(run, state, "failed", f"the worker did not start: see {run.log_file}", 1)
            time.sleep(_POLL)
        return state

    def cancel(self, run: Run, grace: float = GRACE) -> State:
        """Ask the run to stop (SIGTERM to its process group), after `grace` seconds end it (SIGKILL); return when it is over.

        Raises:
            RequestError: it is over already, or runs on another machine.
        """
        state = self.refresh(run)
        if state.is_over:
            raise RequestError(f"run {run.id} has already ended ({state.status})")
        if not state.place.is_here():
            raise RequestError(f"run {run.id} runs on {state.host}: cancel it there")
        if state.status == "queued":
            self._stop_start(run)
        else:
            _signal(state, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while not (state := run.state).is_over:
            if not _may_live(state) and not alive(state.supervisor, state.supervisor_started):
                return close(run, state, "cancelled", "cancelled", 130)
            if time.monotonic() > deadline:
                _signal(state, signal.SIGKILL)
                while alive(state.pid, state.pid_started) and time.monotonic() < deadline + 1:
                    time.sleep(_POLL)
                return close(run, state, "cancelled", f"cancelled; it did not stop within {grace:.0f} s and was killed", 130)
            time.sleep(_POLL)
        return state

    def _stop_start(self, run: Run) -> None:
        """Stop a run whose state.json does not name a process yet."""
        child = self._children.get(run.id)
        if child is not None:
            child.terminate()
        deadline = time.monotonic() + GRACE
        while (state := run.state).status == "queued" and time.monotonic() < deadline and (child is None or child.poll() is None):
            time.sleep(_POLL)
        if state.status == "queued":
            if child is not None:
                child.kill()
            close(run, state, "cancelled", "cancelled before it started", 130)
        elif child is None:
            _signal(state, signal.SIGTERM)

    def refresh(self, run: Run) -> State:
        """The state of a run; one whose worker died without a word is closed as failed, with the signal where it is known."""
        self._children = {name: child for name, child in self._children.items() if child.poll() is None}
        return refresh(run)


def cancel_for_ctrl_c(run: Run, launcher: Launcher) -> State:
    """Cancel a run because of ctrl+c, at once because of a second one; the state in which it ended."""
    try:
        try:
            return launcher.cancel(run)
        except KeyboardInterrupt:
            return launcher.cancel(run, grace=0.0)
    except RequestError:
        return launcher.refresh(run)


def refresh(run: Run, patience: float = 1.0) -> State:
    """As `LocalLauncher.refresh`. How a dead worker ended is for its supervisor to say while that lives; up to `patience` seconds are waited."""
    deadline = time.monotonic() + patience
    while True:
        state = run.state
        if state.is_over or _may_live(state):
            return state
        if not alive(state.supervisor, state.supervisor_started):
            return died(run, state)
        if time.monotonic() > deadline:
            return state
        time.sleep(_POLL)


def _may_live(state: State) -> bool:
    if not state.place.is_here():
        return not state.place.was_restarted()
    if state.status == "queued":
        return time.time() - (state.resumed or state.created) < _START_WITHIN
    return alive(state.pid, state.pid_started)


def _signal(state: State, number: signal.Signals) -> None:
    """To the worker's process group; the request to stop goes through its supervisor, which follows it up.

    Each only while it is the very process that state.json names.
    """
    try:
        if number == signal.SIGTERM and state.supervisor is not None and alive(state.supervisor, state.supervisor_started):
            os.kill(state.supervisor, number)
        elif state.pid is not None and alive(state.pid, state.pid_started):
            os.killpg(state.pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise RequestError(f"process {state.pid} belongs to another user: cancel the run as that user") from error


def _folder(run: Run) -> Path | None:
    """Where the run was asked for: its relative paths are meant from there, also when it is resumed from elsewhere."""
    folder = Path(str(run.document.get("folder", "")))
    return folder if folder.is_absolute() and folder.is_dir() else None


def _environment() -> dict[str, str]:
    """This process's environment, with threads that sleep instead of spinning while they wait for each other.

    Spinning threads make a run four times slower as soon as anything else wants the same cores; a checkout that is
    not installed is added to the import path.
    """
    # OpenMP knows of the cores, not of a quota of their time.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(cores())} if cpu_quota() else {"OMP_WAIT_POLICY": "PASSIVE"}
    environment |= os.environ | {"PYTHONUNBUFFERED": "1", "LLMOPT_HOME": str(home())}
    root = Path(core.__file__).parents[1]
    if root.name not in {"site-packages", "dist-packages"}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")]))
    return environment

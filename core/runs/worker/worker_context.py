"""The context of a run inside its worker: writes events.jsonl and state.json."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from core.errors import Cancelled
from core.event import DetailEvent
from core.runs.launch.pause import forget
from core.runs.state.events import DETAIL_BYTES, Artifact, Detail, Event, EventWriter, Log, Metric, Progress, StateChange, line, now
from core.runs.state.state import Position, State, Status
from core.runs.state.store import Run
from core.runs.worker.device import resolve_device
from core.spec import Spec

_STATE_EVERY = 0.5
_BALLAST = 64 << 10


class WorkerContext:
    """`core.context.RunContext`, kept in the run's folder.

    A small ballast file is held while the run works: on a full disk it makes room for the sentence that says so.
    """

    def __init__(self, run: Run, state: State) -> None:
        self.device = "cpu"
        self.seed = 0
        self.artifacts = run.artifacts
        self.kept: Path | None = run.kept
        self.artifacts_made: list[dict[str, str]] = []
        self._run = run
        self._state = state
        self._events = EventWriter(run.events_file)
        self._ballast = run.path / ".ballast"
        self._cancelled = threading.Event()
        self._state_written = 0.0
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Say that the run works, and listen for the request to stop it."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._ballast.write_bytes(os.urandom(_BALLAST))
        self._run.save_state(self._state)
        self._write(StateChange(now(), "running", ""))

    def prepare(self, spec: Spec) -> None:
        """Take device and seed from the spec. Raises RequestError when the device is not there."""
        self.device = resolve_device(spec.device)
        self.seed = spec.seed

    def progress(self, done: int, total: int, label: str) -> None:
        """`done` of `total` steps are finished; `label` says what comes next."""
        self._write(Progress(now(), done, total, label))
        self._state = self._state.model_copy(update={"progress": Position(done=done, total=total, label=label)})
        if time.monotonic() - self._state_written >= _STATE_EVERY:
            self._run.save_state(self._state, durable=False)
            self._state_written = time.monotonic()

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        """A measured figure."""
        self._write(Metric(now(), name, float(value), step, label))

    def log(self, text: str) -> None:
        """A line for the user."""
        self._write(Log(now(), text))

    def detail(self, event: DetailEvent) -> None:
        """What a live view shows beyond figures."""
        kept = Detail(now(), event.kind, event.data())
        if len(line(kept)) <= DETAIL_BYTES:
            self._write(kept)

    def artifact(self, path: Path, kind: str) -> None:
        """A finished file or folder of the run."""
        self.artifacts_made.append({"path": str(path.absolute()), "kind": kind})
        self._write(Artifact(now(), str(path.absolute()), kind))

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the user has cancelled the run."""
        if self._cancelled.is_set():
            raise Cancelled("cancelled")

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._cancelled.is_set()

    def stop_listening(self) -> None:
        """From here on the run is ending: a further request to stop changes nothing."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def pause_asked(self) -> bool:
        """Whether the user wants the run to wait."""
        return self._run.pause_file.exists()

    def finish_asked(self) -> bool:
        """Whether the user wants the run to come to its end with what it has."""
        return self._run.finish_file.exists()

    def end(self, status: Status, reason: str, exit_code: int) -> int:
        """Write the final state; returns the exit code."""
        with contextlib.suppress(OSError):
            self._ballast.unlink()
        forget(self._run)
        if status == "done":
            shutil.rmtree(self._run.kept, ignore_errors=True)
        position = self._state.progress
        if status == "done" and position is not None:
            position = Position(done=position.total, total=position.total, label="")
        # The event first: who finds the state final has every event before it.
        with contextlib.suppress(OSError):
            self._write(StateChange(now(), status, reason))
        self._run.save_state(
            self._state.model_copy(
                update={"status": status, "ended": time.time(), "exit_reason": reason or None, "exit_code": exit_code, "progress": position}
            )
        )
        return exit_code

    def _write(self, event: Event) -> None:
        with self._lock:
            self._events.write(event)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        """The first request is answered at the next step; a second one at once."""
        if self._cancelled.is_set():
            raise Cancelled("cancelled")
        self._cancelled.set()

"""A run that shall wait says so to everyone, and what a run had measured before it was stopped is its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import Cancelled, EarlyEnd, RequestError, RunFailed
from core.runs import registry
from core.runs.launch.launch import LocalLauncher
from core.runs.launch.pause import go_on, is_paused, pausable, pause, pause_asked, wait_while_paused
from core.runs.state import store
from core.runs.state.process import started
from core.runs.state.state import State
from core.runs.state.store import Run
from core.runs.worker.work import work
from core.runs.worker.worker_context import WorkerContext
from tests.core.conftest import RecordingContext
from tests.core.runs.tick import CAPABILITY, TickSpec
from tests.core.runs.tick.result import TickMetrics, TickResult

MEASURED = TickResult(metrics=TickMetrics(ticks=2, nothing=0.5, seed=0), spec={})


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs of a capability that can wait, by this process."""

    def made(*, can_wait: bool = True, status: str = "running") -> Run:
        from dataclasses import replace
        from os import getpid

        monkeypatch.setitem(registry.CAPABILITIES, "tick", replace(CAPABILITY, pausable=can_wait))
        run = store.create(TickSpec(model="x", device="cpu"))
        state = run.state.model_copy(update={"status": status, "started": time.time(), "pid": getpid(), "pid_started": started(getpid())})
        run.save_state(state)
        return run

    return made


def test_a_run_waits_until_it_is_told_to_go_on(make: Callable[..., Run]) -> None:
    run, launcher = make(), LocalLauncher()
    context = WorkerContext(run, run.state)
    assert pausable(run, run.state)
    assert not pause_asked(context)
    pause(run, launcher)
    assert pause_asked(context)
    assert is_paused(run, run.state)
    with pytest.raises(RequestError, match="already paused"):
        pause(run, launcher)
    go_on(run, launcher)
    assert not pause_asked(context)
    with pytest.raises(RequestError, match="is not paused"):
        go_on(run, launcher)


def test_a_context_that_knows_of_no_pauses_never_waits(tmp_path: Path) -> None:
    context = RecordingContext(tmp_path)
    assert not pause_asked(context)
    wait_while_paused(context)


def test_waiting_ends_when_the_run_is_cancelled(make: Callable[..., Run]) -> None:
    run = make()
    pause(run, LocalLauncher())
    began = time.monotonic()

    class Context(RecordingContext):
        def pause_asked(self) -> bool:
            return run.pause_file.exists()

        def check_cancelled(self) -> None:
            if time.monotonic() - began > 0.3:
                raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        wait_while_paused(Context(run.artifacts))
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("changes", "word"), [({"status": "done"}, "already ended"), ({"can_wait": False}, "only those of benchmark, benchmark-compare")]
)
def test_what_cannot_wait_is_refused(make: Callable[..., Run], changes: dict[str, Any], word: str) -> None:
    run = make(**changes)
    with pytest.raises(RequestError, match=word):
        pause(run, LocalLauncher())
    assert not run.pause_file.exists()


def test_a_folder_that_may_not_be_written_is_said(make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()

    def refuse(self: Path, **_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(RunFailed, match="is not writable"):
        pause(run, LocalLauncher())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(Cancelled("2 are kept", result=MEASURED), "cancelled", 130), (RunFailed("gone", result=MEASURED), "failed", 1)],
)
def test_what_was_measured_before_the_end_is_the_result(
    make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, error: EarlyEnd, status: str, code: int
) -> None:
    run = make(status="queued")
    run.pause_file.touch()

    def fail(_spec: Any, _context: Any) -> None:
        raise error

    monkeypatch.setattr("core.runs.worker.work.run_function", lambda _key: fail)
    assert work(run, 1) == code
    state: State = run.state
    assert (state.status, state.exit_reason) == (status, str(error))
    assert run.result is not None
    assert run.result["schema"] == "llmopt.tick/1"
    assert run.result["metrics"] == {"ticks": 2, "nothing": 0.5, "seed": 0}
    assert run.typed_result() == MEASURED.model_copy(update={"run": run.id})
    assert not run.pause_file.exists(), "a run that is over waits no longer"


def test_a_run_that_measured_nothing_has_no_result(make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(status="queued")

    def fail(_spec: Any, _context: Any) -> None:
        raise Cancelled("cancelled")

    monkeypatch.setattr("core.runs.worker.work.run_function", lambda _key: fail)
    assert work(run, 1) == 130
    assert run.result is None

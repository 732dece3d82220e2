"""A stopped run goes on: under its own id, from the folder where it was asked for, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import RequestError
from core.runs import registry
from core.runs.launch.launch import LocalLauncher, refresh
from core.runs.launch.resume import kept_bytes, resumable, resume
from core.runs.state import store
from core.runs.state.events import StateChange
from core.runs.state.state import State
from core.runs.state.store import Run
from tests.core.runs import tick
from tests.core.runs.tick import TickSpec


@pytest.fixture(autouse=True)
def _resumable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CAPABILITIES, "tick", replace(tick.CAPABILITY, resumable=True))


def wait(run: Run, condition: Callable[[State], bool] = lambda state: state.is_over) -> State:
    deadline = time.monotonic() + 60
    while not condition(state := refresh(run)):
        assert time.monotonic() < deadline, state
        time.sleep(0.01)
    return state


def stopped(launcher: LocalLauncher, **values: object) -> Run:
    run = store.create(TickSpec.model_validate({"model": "x", "device": "cpu", "ticks": 200, "pause": 0.02} | values))
    launcher.start(run)
    wait(run, lambda state: state.progress is not None)
    launcher.cancel(run)
    return run


def test_a_run_goes_on_in_the_folder_where_it_was_asked_for(launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = stopped(launcher, out="ticks.txt")
    assert (refresh(run).status, resumable(run, run.state), kept_bytes(run)) == ("cancelled", True, 0)
    monkeypatch.chdir(tmp_path / "elsewhere")
    state = resume(run, launcher)
    assert state.status in {"running", "queued"}
    with pytest.raises(RequestError, match="is running"):
        resume(run, launcher)
    assert wait(run).status == "done"
    assert (tmp_path / "here" / "ticks.txt").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    changes = [event.status for event in run.events if isinstance(event, StateChange)]
    assert changes == ["running", "cancelled", "queued", "running", "done"]
    assert run.state.created < (run.state.resumed or 0.0)


def test_what_a_dead_worker_left_is_swept_before_it_goes_on(launcher: LocalLauncher) -> None:
    run = stopped(launcher)
    run.kept.mkdir()
    (run.kept / f".block.{run.state.pid}.new").write_bytes(b"half")
    (run.kept / "block").write_bytes(b"whole")
    left = run.artifacts / f"ticks.txt.partial-{run.state.pid}"
    left.write_text("half")
    assert kept_bytes(run) == len(b"half" + b"whole")
    resume(run, launcher)
    assert not left.exists()
    assert [entry.name for entry in run.kept.iterdir()] == ["block"]
    launcher.cancel(run)


def test_the_end_of_the_start_before_does_not_end_the_run_again(launcher: LocalLauncher) -> None:
    run = stopped(launcher)
    for _ in range(3):
        resume(run, launcher)
        assert launcher.cancel(run).status == "cancelled"
    resume(run, launcher)
    assert wait(run).status == "done"


def test_a_capability_that_keeps_nothing_is_not_resumed(launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stopped(launcher)
    monkeypatch.setitem(registry.CAPABILITIES, "tick", tick.CAPABILITY)
    assert not resumable(run, run.state)
    with pytest.raises(RequestError, match="start again with --spec"):
        resume(run, launcher)

"""A disk that is really full, and a folder that really cannot be written."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import RunFailed
from core.runs.launch.launch import LocalLauncher
from core.runs.state import store
from core.runs.state.events import Metric
from core.runs.state.state import State
from core.runs.state.store import Run
from tests.core.runs.tick import TickSpec


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 1 MiB as home; needs the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    monkeypatch.setenv("LLMOPT_HOME", str(place))
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    ballast = place / "everything"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return ballast


def finished(run: Run, launcher: LocalLauncher) -> State:
    deadline = time.monotonic() + 60
    while not (state := launcher.refresh(run)).is_over:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return state


def test_a_disk_that_fills_up_in_the_middle_is_one_sentence_and_earlier_outputs_stay(small_disk: Path, launcher: LocalLauncher) -> None:
    earlier = store.create(TickSpec(model="x", device="cpu"))
    launcher.start(earlier)
    finished(earlier, launcher)
    before = {path: path.read_bytes() for path in earlier.path.rglob("*") if path.is_file()}
    run = store.create(TickSpec(model="x", device="cpu", ticks=5000, pause=0.4))
    launcher.start(run)
    # Between two ticks there is time to take all the space.
    while not any(isinstance(event, Metric) for event in run.events):
        time.sleep(0.01)
    fill(small_disk)
    state = finished(run, launcher)
    assert (state.status, state.exit_code) == ("failed", 1)
    assert "no space left" in (state.exit_reason or "")
    assert run.state == state
    assert list(run.artifacts.iterdir()) == []
    assert {path: path.read_bytes() for path in earlier.path.rglob("*") if path.is_file()} == before


def test_nothing_is_begun_on_a_full_disk(small_disk: Path) -> None:
    (small_disk / "runs").mkdir()
    fill(small_disk)
    with pytest.raises(RunFailed, match="no space left"):
        store.create(TickSpec(model="x"))
    assert list((small_disk / "runs").iterdir()) == []


def test_nothing_is_begun_in_a_folder_that_is_read_only(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RunFailed, match="is not writable"):
        store.create(TickSpec(model="x"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_nothing_is_begun_without_permission(llmopt_home: Path) -> None:
    llmopt_home.chmod(0o500)
    with pytest.raises(RunFailed, match="is not writable"):
        store.create(TickSpec(model="x"))
    llmopt_home.chmod(0o700)


def test_a_disk_that_becomes_read_only_is_told_to_who_looks(small_disk: Path, launcher: LocalLauncher) -> None:
    run = store.create(TickSpec(model="x", device="cpu", ticks=5000, pause=0.01))
    launcher.start(run)
    # A file that is open for writing keeps the mount busy: the worker is stopped from writing by taking the space instead.
    fill(small_disk)
    (run.path / ".ballast").unlink()
    fill(small_disk.joinpath("runs"))
    state = finished(run, launcher)
    assert (state.status, state.exit_code) == ("failed", 1)
    assert "no space left" in (state.exit_reason or "")

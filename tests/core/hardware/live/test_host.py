"""CPU, memory and disks of the machine the tests run on."""

from __future__ import annotations

import threading
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from core.hardware.live import host
from core.hardware.live.host import CpuProbe, DiskProbe, disk_state, memory_state
from core.hardware.snapshot import DiskState, MemoryState
from core.measure.limits import cores


def test_shares_of_the_cores_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = iter([[(0.0, 0.0), (5.0, 10.0)], [(1.0, 4.0), (5.0, 14.0)], [(1.0, 4.0), (5.0, 14.0)]])
    monkeypatch.setattr(host, "_times", lambda: next(rows))
    probe = CpuProbe()
    state = probe.state()
    assert state.per_core == (25.0, 0.0)
    assert state.percent == 12.5
    assert probe.state().percent is None, "no time has passed"


def test_waiting_for_a_disk_is_not_work_and_a_guest_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = namedtuple("times", "user system idle iowait guest guest_nice")
    rows = iter([[times(0, 0, 0, 0, 0, 0)], [times(2, 1, 4, 3, 2, 0)]])
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: next(rows))
    assert CpuProbe().state().per_core == (30.0,)


def test_a_busy_core_shows() -> None:
    probe = CpuProbe()
    end = time.process_time() + 0.15
    while time.process_time() < end:
        pass
    state = probe.state()
    assert state.percent is not None
    assert 0 < state.percent <= 100
    assert len(state.per_core) == psutil.cpu_count()
    assert state.logical == cores()


def test_memory_agrees_with_psutil() -> None:
    state = memory_state()
    assert state.total == psutil.virtual_memory().total
    assert 0 < state.percent < 100
    assert state.used + state.available == state.total


def test_a_container_s_limit_is_the_memory_that_can_be_had() -> None:
    assert MemoryState(5000, 100, 4900, limit=1000, limit_used=400).usable == 600
    assert MemoryState(5000, 4800, 200, limit=1000, limit_used=400).usable == 200
    assert MemoryState(5000, 100, 4900).usable == 4900


def test_a_folder_that_does_not_exist_yet_is_measured_where_it_would_be(tmp_path: Path) -> None:
    state = disk_state("runs", tmp_path / "not" / "yet")
    assert state.total == psutil.disk_usage(str(tmp_path)).total
    assert state.path == str(tmp_path / "not" / "yet")
    (tmp_path / "file").touch()
    assert disk_state("runs", tmp_path / "file" / "below").total == state.total


def test_a_file_system_that_cannot_be_asked_is_not_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(_: str) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil, "disk_usage", fail)
    assert disk_state("models", tmp_path) == DiskState("models", str(tmp_path))


def test_a_mount_that_hangs_delays_the_first_look_a_little_and_no_later_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release = threading.Event()
    monkeypatch.setattr(host, "disk_state", lambda label, path: release.wait() and DiskState(label, str(path), 1, 0, 1))
    monkeypatch.setattr(host, "DISK_PATIENCE", 0.05)
    probe = DiskProbe({"models": tmp_path}, period=0.0)
    try:
        begun = time.monotonic()
        assert probe.states() == (DiskState("models", str(tmp_path)),)
        monkeypatch.setattr(host, "DISK_PATIENCE", 60.0)
        probe.states()
        assert time.monotonic() - begun < 30.0
    finally:
        release.set()


def test_disks_are_looked_at_rarely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looks: list[str] = []
    monkeypatch.setattr(host, "disk_state", lambda label, path: looks.append(label) or DiskState(label, str(path), 2, 1, 1))
    probe = DiskProbe({"models": tmp_path})
    assert [probe.states()[0].total for _ in range(3)] == [2, 2, 2]
    assert looks == ["models"]

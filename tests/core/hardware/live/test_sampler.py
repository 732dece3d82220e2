"""Snapshots are taken on one thread, kept in bounded histories, and never end the thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest

from core.hardware.live.history import GPU_METRICS, HOST_METRICS, History
from core.hardware.live.sampler import Sampler
from core.hardware.snapshot import Snapshot
from tests.core.hardware.fake_probe import FakeProbe


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


class Broken:
    """A probe that fails at first."""

    def __init__(self) -> None:
        self.calls = 0
        self.closed = False
        self.real = FakeProbe("one")

    def snapshot(self, t: float) -> Snapshot:
        self.calls += 1
        if self.calls == 1:
            raise OSError("no /proc\x1b[2J")
        return self.real.snapshot(t)

    def close(self) -> None:
        self.closed = True


def test_the_thread_samples_until_it_is_stopped_and_then_lets_go_of_the_driver() -> None:
    probe = Broken()
    sampler = Sampler(0.05, probe, clock=lambda: 12.0)
    assert sampler.latest is None
    sampler.start()
    sampler.start()
    wait_for(lambda: sampler.latest is not None)
    assert sampler.latest is not None
    assert sampler.latest.t == 12.0
    assert sum(thread.name == "llmopt-sampler" for thread in threading.enumerate()) == 1
    sampler.stop()
    assert not sampler.running
    assert probe.closed


def test_a_sample_that_fails_is_a_sentence_and_the_next_one_comes() -> None:
    probe = Broken()
    sampler = Sampler(0.05, probe)
    seen: list[str | None] = []
    real = probe.real.snapshot

    def remember(t: float) -> Snapshot:
        seen.append(sampler.problem)
        return real(t)

    probe.real.snapshot = remember  # type: ignore[method-assign]
    sampler.start()
    wait_for(lambda: sampler.latest is not None and sampler.problem is None)
    sampler.stop()
    assert seen[0] is not None
    assert "OSError" in seen[0]
    assert "\x1b" not in seen[0]


def test_it_can_be_started_again() -> None:
    sampler = Sampler(0.05, FakeProbe("one"))
    sampler.start()
    wait_for(lambda: sampler.latest is not None)
    sampler.stop()
    first = sampler.latest
    sampler.start()
    wait_for(lambda: sampler.latest is not first)
    sampler.stop()


def test_histories_are_bounded_and_as_long_as_their_times() -> None:
    clock = iter(range(1000))
    sampler = Sampler(1.0, FakeProbe("eight"), clock=lambda: float(next(clock)), length=5)
    for _ in range(8):
        sampler.sample()
    history = sampler.history
    assert history.times() == (3.0, 4.0, 5.0, 6.0, 7.0)
    for metric in HOST_METRICS:
        assert len(history.read(metric)) == 5
    for metric in GPU_METRICS:
        for gpu in range(8):
            assert len(history.read(metric, gpu)) == 5
    assert history.read("power", 0, last=2) == history.read("power", 0)[-2:]
    assert history.read("power", 99) == ()
    assert all(value is not None and value > 0 for value in history.read("nvlink_tx", 0))


def test_a_gpu_that_is_lost_leaves_a_gap_and_one_that_comes_late_is_padded() -> None:
    probe = FakeProbe("lost")
    history = History(10)
    empty = FakeProbe("none").snapshot(0.0)
    history.add(empty)
    history.add(probe.snapshot(1.0))
    probe.nvml.lose(1)
    history.add(probe.snapshot(2.0))
    utilization = history.read("utilization", 1)
    assert utilization[0] is None
    assert utilization[1] is not None
    assert utilization[2] is None


def test_reading_while_the_sampler_writes_is_safe() -> None:
    history = History(50)
    snapshot = FakeProbe("eight").snapshot(0.0)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            history.add(snapshot)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2000):
            history.read("power", 3)
            history.times(last=10)
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("shape", ["one", "eight", "mig", "unified", "lost", "vgpu", "none", "unloaded"])
def test_a_snapshot_is_a_json_document_that_says_null_for_what_is_not_available(shape: str) -> None:
    document = json.loads(json.dumps(FakeProbe(shape).snapshot(1.5).to_json(), allow_nan=False))
    assert {"gpus", "cpu", "memory", "disks", "processes", "driver", "gpu_problem", "t"} <= document.keys()
    assert all(gpu["memory"].keys() == {"total", "used", "free", "reserved"} for gpu in document["gpus"])
    if shape == "unified":
        assert document["gpus"][0]["memory"]["total"] is None


def test_a_snapshot_cannot_be_changed() -> None:
    snapshot = FakeProbe("one").snapshot(0.0)
    with pytest.raises(AttributeError):
        snapshot.t = 1.0  # type: ignore[misc]
    with pytest.raises(AttributeError):
        snapshot.gpus[0].power = 1.0  # type: ignore[misc]


def test_the_fake_machine_is_the_same_at_every_hour() -> None:
    one, other = FakeProbe("eight"), FakeProbe("eight")
    assert [one.snapshot(7.0), one.snapshot(8.0)] == [other.snapshot(7.0), other.snapshot(8.0)]

"""GPU memory and energy of a server's processes, by what a driver says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from core.benchmark.server.resources import GpuMeter, look_at
from core.benchmark.server.watch import Watch
from core.engine import Endpoint
from core.hardware.live.gpu import RawProcess
from core.hardware.live.probe import GpuProbe
from core.hardware.live.surroundings import surroundings
from core.hardware.snapshot import GpuState
from engines.openai import OpenAi
from tests.core.hardware.fake_machines import NOT_SUPPORTED, FakeProcess
from tests.core.hardware.fake_nvml import FakeNvml, fake_nvml

MIB = 1 << 20


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def states(*values: tuple[float | None, float | None]) -> list[GpuState]:
    return [GpuState(index, energy=energy, power=power) for index, (energy, power) in enumerate(values)]


@pytest.mark.parametrize(
    ("processes", "memory", "joules", "gpus"),
    [
        ([RawProcess(5, "compute", 0, 100), RawProcess(6, "compute", 0, 50), RawProcess(9, "compute", 1, 7)], 150, 10.0, (0,)),
        ([RawProcess(5, "compute", 0, 100), RawProcess(6, "compute", 1, 50)], 150, 30.0, (0, 1)),
        ([RawProcess(5, "compute", 0, None)], None, 10.0, (0,)),
        ([RawProcess(5, "compute", 2, 1)], 1, None, (2,)),
        ([RawProcess(9, "compute", 0, 100)], None, None, ()),
    ],
)
def test_only_the_servers_processes_and_their_gpus_count(
    processes: Sequence[RawProcess], memory: int | None, joules: float | None, gpus: tuple[int, ...]
) -> None:
    found = look_at(states((10.0, 100.0), (20.0, 200.0), (None, None)), processes, {5, 6})
    assert (found.memory, found.joules, found.gpus) == (memory, joules, gpus)


def meter(library: FakeNvml, clock: Clock) -> GpuMeter:
    return GpuMeter(os.getpid(), GpuProbe(library, unread=tuple), clock)


def on_first_gpu(library: FakeNvml, **values: Any) -> None:
    gpu = library.gpus[0]
    gpu.processes = (FakeProcess(os.getpid(), 300 * MIB),)
    for name, value in values.items():
        setattr(gpu, name, value)


def test_energy_is_what_the_counter_gained_since_the_mark() -> None:
    library, clock = fake_nvml("one"), Clock()
    on_first_gpu(library, energy=5_000)
    found = meter(library, clock)
    assert found.look().memory == 300 * MIB
    assert found.joules() is None
    on_first_gpu(library, energy=7_000)
    found.mark()
    on_first_gpu(library, energy=19_500)
    found.look()
    assert found.joules() == pytest.approx(12.5)


def test_without_a_counter_power_is_summed_over_time() -> None:
    library, clock = fake_nvml("one"), Clock()
    on_first_gpu(library, energy=NOT_SUPPORTED, power=100_000)
    found = meter(library, clock)
    found.mark()
    for seconds, power in ((2.0, 200_000), (3.0, 200_000)):
        clock.now += seconds
        on_first_gpu(library, power=power)
        found.look()
    assert found.joules() == pytest.approx(2 * 150 + 3 * 200)


def test_what_the_driver_does_not_say_is_not_known() -> None:
    library, clock = fake_nvml("one"), Clock()
    on_first_gpu(library, energy=NOT_SUPPORTED, power=NOT_SUPPORTED)
    found = meter(library, clock)
    found.mark()
    clock.now = 5.0
    assert found.look().memory == 300 * MIB
    assert found.joules() is None
    alone = GpuMeter(None, None, clock)
    alone.mark()
    assert alone.look().memory is None
    assert alone.joules() is None


def test_a_server_that_leaves_the_gpu_has_no_energy() -> None:
    library, clock = fake_nvml("one"), Clock()
    on_first_gpu(library, energy=5_000)
    found = meter(library, clock)
    found.mark()
    library.gpus[0].processes = ()
    found.look()
    assert found.joules() is None


def test_the_report_has_tokens_a_joule() -> None:
    library = fake_nvml("one")
    on_first_gpu(library, energy=0)
    with Watch(OpenAi(), Endpoint("http://127.0.0.1:9"), os.getpid(), probe=GpuProbe(library, unread=tuple)) as watch:
        watch.mark()
        on_first_gpu(library, energy=50_000)
    report = watch.report(tokens=200)
    assert (report.gpu_bytes, report.joules) == (300 * MIB, pytest.approx(50.0))
    assert report.tokens_per_joule == pytest.approx(4.0)
    assert report.host_bytes is not None


def test_without_a_gpu_nothing_is_said() -> None:
    with Watch(OpenAi(), Endpoint("http://127.0.0.1:9"), None) as watch:
        watch.mark()
    report = watch.report(tokens=5)
    assert (report.gpu_bytes, report.joules, report.tokens_per_joule, report.host_bytes) == (None, None, None, None)


def test_a_machine_says_its_processor_and_gpus() -> None:
    found = surroundings(GpuProbe(fake_nvml("one"), unread=tuple))
    assert found.processor
    assert found.gpus == f"1 x {fake_nvml('one').gpus[0].name}"
    assert surroundings(GpuProbe(fake_nvml("none"), unread=tuple)).gpus is None

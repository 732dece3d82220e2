"""Energy of processors by the kernel's counters, as they turn over, vanish and are kept from ordinary users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.benchmark.server.package_energy import PackageMeter
from core.benchmark.server.watch import Watch
from core.engine import Endpoint
from core.hardware.live.probe import GpuProbe
from engines.openai import OpenAi
from tests.core.benchmark.server.test_resources import MIB
from tests.core.hardware.fake_machines import NOT_SUPPORTED, FakeProcess
from tests.core.hardware.fake_nvml import fake_nvml

RANGE = 1_000_000_000


def zone(folder: Path, path: str, name: str, energy: int) -> Path:
    made = folder / path
    made.mkdir()
    (made / "name").write_text(f"{name}\n")
    (made / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (made / "energy_uj").write_text(f"{energy}\n")
    return made / "energy_uj"


def test_packages_are_summed_and_their_parts_are_not_counted_twice(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000), zone(tmp_path, "intel-rapl:1", "package-1", RANGE - 1_000_000)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 0)
    meter = PackageMeter(tmp_path)
    meter.mark()
    first.write_text("8000000\n")
    core.write_text("900000000\n")
    second.write_text("500000\n")
    meter.look()
    assert meter.joules() == pytest.approx(3.0 + 1.5), "the second counter turned over"
    first.write_text("9000000\n")
    meter.look()
    assert meter.joules() == pytest.approx(5.5)
    meter.mark()
    meter.look()
    assert meter.joules() == 0


def test_counters_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    assert PackageMeter(tmp_path / "none").joules() is None
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    meter = PackageMeter(tmp_path)
    meter.mark()
    counter.write_text("")
    meter.look()
    assert meter.joules() is None
    counter.write_text("7000000\n")
    meter.look()
    assert meter.joules() is None, "what came between is not known"
    assert PackageMeter().joules() is None


def test_tokens_a_joule_are_of_the_processors_where_the_server_is_on_no_gpu(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    endpoint = Endpoint("http://127.0.0.1:9")
    with Watch(OpenAi(), endpoint, os.getpid(), probe=GpuProbe(fake_nvml("none"), unread=tuple), packages=PackageMeter(tmp_path)) as watch:
        watch.mark()
        counter.write_text("50000000\n")
    report = watch.report(tokens=200)
    assert (report.joules, report.processor_joules, report.energy_of) == (None, pytest.approx(50.0), "processors")
    assert report.tokens_per_joule == pytest.approx(4.0)


def test_the_processors_do_not_stand_in_for_gpus_whose_energy_is_not_known(tmp_path: Path) -> None:
    counter, library = zone(tmp_path, "intel-rapl:0", "package-0", 0), fake_nvml("one")
    library.gpus[0].processes = (FakeProcess(os.getpid(), 300 * MIB),)
    library.gpus[0].energy = library.gpus[0].power = NOT_SUPPORTED
    endpoint = Endpoint("http://127.0.0.1:9")
    with Watch(OpenAi(), endpoint, os.getpid(), probe=GpuProbe(library, unread=tuple), packages=PackageMeter(tmp_path)) as watch:
        watch.mark()
        counter.write_text("50000000\n")
    report = watch.report(tokens=200)
    assert (report.joules, report.tokens_per_joule, report.energy_of) == (None, None, "")
    assert report.processor_joules == pytest.approx(50.0)

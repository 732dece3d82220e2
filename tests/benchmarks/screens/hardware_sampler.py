"""What one hardware sample costs: processor time without a GPU, with one and with eight GPUs of the stand-in driver.

The stand-in's own time is counted in, the driver's is not: no GPU is needed, and on a machine with one its real figure is printed too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

from core.hardware.live.probe import MachineProbe
from tests.benchmarks.report import record
from tests.core.hardware.fake_nvml import FakeNvml, fake_nvml

SAMPLES = 200
PROCESSES_A_GPU = 2


def cost(probe: MachineProbe) -> float:
    """Milliseconds of processor time a sample."""
    for _ in range(3):
        probe.snapshot(0.0)
    before = time.process_time()
    for moment in range(SAMPLES):
        probe.snapshot(float(moment))
    return (time.process_time() - before) / SAMPLES * 1e3


def with_processes(library: FakeNvml, pids: list[int]) -> FakeNvml:
    """The GPUs with live processes on them, so that /proc is read as well."""
    for index, gpu in enumerate(library.gpus):
        own = pids[index * PROCESSES_A_GPU : (index + 1) * PROCESSES_A_GPU]
        gpu.processes = tuple(replace(next(iter(library.gpus[0].processes)), pid=pid) for pid in own)
    return library


def main() -> bool:
    """Measure; a sample a second may take half a percent of a core."""
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(8 * PROCESSES_A_GPU)]
    try:
        pids = [sleeper.pid for sleeper in sleepers]
        figures = {
            "this_machine_ms": cost(MachineProbe()),
            "no_gpu_ms": cost(MachineProbe(library=fake_nvml("none"))),
            "one_gpu_ms": cost(MachineProbe(library=with_processes(fake_nvml("one"), pids))),
            "eight_gpus_16_processes_ms": cost(MachineProbe(library=with_processes(fake_nvml("eight"), pids))),
        }
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    return record("hardware_sampler", figures, {"no_gpu_ms": ("<=", 5.0), "eight_gpus_16_processes_ms": ("<=", 5.0)})


if __name__ == "__main__":
    sys.exit(not main())

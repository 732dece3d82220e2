"""A whole machine for screens, the same everywhere."""

from __future__ import annotations

import math

from core.hardware.live.gpu import RawProcess
from core.hardware.live.probe import GpuProbe
from core.hardware.snapshot import GIBIBYTE, CpuState, DiskState, MemoryState, ProcessState, Snapshot
from tests.core.hardware.fake_machines import MIB, Refusal
from tests.core.hardware.fake_nvml import fake_nvml


class FakeProbe:
    """A whole machine for screens: the real GPU reading over a fake library, and a host that is the same everywhere.

    Each snapshot moves the load along a fixed wave, so that histories have a shape. Processes of runs
    are ours. Give it to `Sampler(probe=FakeProbe("eight"), clock=...)`, or call `snapshot(t)`.
    """

    def __init__(self, shape: str = "one", cores: int = 8) -> None:
        self.nvml = fake_nvml(shape)
        self.cores = cores
        self.round = 0
        self._gpus = GpuProbe(self.nvml, unread=tuple)
        self._still = [(gpu.utilization, gpu.power) for gpu in self.nvml.gpus]

    def snapshot(self, t: float) -> Snapshot:
        self._move()
        gpus, processes, driver, problem = self._gpus.read(t)
        per_core = tuple(round(50 + 45 * math.sin(self.round / 7 + core), 1) for core in range(self.cores))
        return Snapshot(
            t=t,
            gpus=gpus,
            cpu=CpuState(sum(per_core) / len(per_core), per_core, (3.21, 2.8, 2.05), self.cores, self.cores // 2, "Fake Processor 9000"),
            memory=MemoryState(64 * GIBIBYTE, 21 * GIBIBYTE, 43 * GIBIBYTE, 8 * GIBIBYTE, 512 * MIB),
            disks=(
                DiskState("models", "/srv/models", 2000 * GIBIBYTE, 1480 * GIBIBYTE, 520 * GIBIBYTE),
                DiskState("runs", "/home/ada/.local/share/llmopt/runs", 400 * GIBIBYTE, 366 * GIBIBYTE, 34 * GIBIBYTE),
            ),
            processes=tuple(self._describe(process) for process in sorted(processes, key=lambda row: -(row.memory or 0))),
            driver=driver,
            gpu_problem=problem,
            host="workshop",
            seconds=0.002,
        )

    def close(self) -> None:
        self._gpus.close()

    def _move(self) -> None:
        self.round += 1
        self.nvml.time += 1_000_000
        for index, (gpu, (utilization, power)) in enumerate(zip(self.nvml.gpus, self._still, strict=True)):
            wave = 0.85 + 0.15 * math.sin(self.round / 5 + index)
            if not isinstance(utilization, Refusal):
                gpu.utilization = (int(utilization[0] * wave), int(utilization[1] * wave))
            if not isinstance(power, Refusal):
                gpu.power = int(power * wave)
            if not isinstance(gpu.pcie_counters, Refusal):
                gpu.pcie_counters = [gpu.pcie_counters[0] + int(2e9 * wave), gpu.pcie_counters[1] + int(5e9 * wave)]
            if gpu.links:
                gpu.nvlink_counters = [count + int(4e6 * wave) for count in gpu.nvlink_counters]

    def _describe(self, row: RawProcess) -> ProcessState:
        facts = next(process for process in self.nvml.gpus[row.gpu].processes if process.pid == row.pid)
        return ProcessState(
            pid=row.pid,
            kind=row.kind,
            gpu=row.gpu,
            gpu_memory=row.memory,
            mig=row.mig,
            started=facts.started,
            owner=facts.owner,
            command=facts.command,
            cpu=97.5,
            rss=2 * GIBIBYTE,
            ours=facts.run is not None,
            run=facts.run,
        )

"""Takes a snapshot of this machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from core.hardware.host import CpuProbe, DiskProbe, memory_state
from core.hardware.snapshot import Snapshot

OurRuns = Callable[[], Mapping[int, str]]
"""Running runs as {worker pid: run id}."""


class MachineProbe:
    """The machine this program runs on."""

    def __init__(self, *, ours: OurRuns | None = None, folders: Mapping[str, Path] | None = None) -> None:
        self._ours = ours or dict
        self._cpu = CpuProbe()
        self._disks = DiskProbe(folders if folders is not None else {"working folder": Path.cwd()})
        self._host = platform.node()

    def snapshot(self, t: float) -> Snapshot:
        """Everything, now."""
        begun = time.perf_counter()
        cpu, memory, disks = self._cpu.state(), memory_state(), self._disks.states()
        return Snapshot(
            t=t,
            gpus=(),
            cpu=cpu,
            memory=memory,
            disks=disks,
            gpu_problem="no GPU was looked for",
            host=self._host,
            seconds=time.perf_counter() - begun,
        )

    def close(self) -> None:
        """Nothing is held."""

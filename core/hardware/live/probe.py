"""Takes a snapshot of this machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from core.hardware.live.book import ProcessBook
from core.hardware.live.gpu import GpuReader, RawProcess
from core.hardware.live.host import CpuProbe, DiskProbe, memory_state
from core.hardware.live.nvml import Nvml, unread_gpus
from core.hardware.live.visible import mark_hidden
from core.hardware.snapshot import DriverState, GpuState, Snapshot
from core.sanitize import clean

OurRuns = Callable[[], Mapping[int, str]]
"""Running runs as {worker pid: run id}."""
OURS = 2.0
"""Seconds for which the answer about our runs is kept: it is read from files."""
RETRY = 30.0
"""Seconds before a driver that was missing is looked for again."""


class GpuProbe:
    """All GPUs that NVIDIA's driver shows.

    Args:
        library: pynvml or a module with its names; default: pynvml.
        unread: what display and compute controllers the kernel sees, asked when there is no driver.
    """

    def __init__(self, library: Any = None, unread: Callable[[], Iterable[tuple[str, str]]] = unread_gpus) -> None:
        self._nvml = Nvml(library)
        self._unread = unread
        self._readers: list[GpuReader] = []
        self._driver: DriverState | None = None
        self._open = False
        self._due = 0.0
        self._problem: str | None = None

    def read(self, t: float) -> tuple[tuple[GpuState, ...], list[RawProcess], DriverState | None, str | None]:
        """(GPUs, their processes, driver versions, why there is none)."""
        if not self._open and time.monotonic() >= self._due:
            self._begin()
        if not self._open:
            return (), [], self._driver, self._problem
        states, processes = [], []
        for reader in self._readers:
            state, listed = reader.read(t)
            states.append(state)
            processes += listed
        if self._nvml.problem is not None:
            self._end(self._nvml.problem)
            return (), [], None, self._problem
        return mark_hidden(states, os.environ), processes, self._driver, None

    def close(self) -> None:
        """End the session with the driver."""
        if self._open:
            self._nvml.close()
        self._open = False

    def _begin(self) -> None:
        if not self._nvml.open():
            self._end(self._without_driver(self._nvml.problem or "the NVIDIA driver cannot be queried"))
            return
        count = self._nvml.query("nvmlDeviceGetCount")
        self._driver = _driver(self._nvml)
        if not count:
            self._nvml.close()
            self._end("the NVIDIA driver is loaded but shows no GPU: in a container, start it with its GPUs (--gpus all)")
            return
        self._readers = [GpuReader(self._nvml, index) for index in range(count)]
        self._open = True

    def _end(self, problem: str) -> None:
        self._open = False
        self._problem = problem
        self._due = time.monotonic() + RETRY

    def _without_driver(self, problem: str) -> str:
        seen = list(self._unread())
        mine = [bus for vendor, bus in seen if vendor == "NVIDIA"]
        others = sorted({vendor for vendor, _ in seen} - {"NVIDIA", "Intel"})
        if mine:
            return f"{problem}; an NVIDIA GPU is present ({clean(mine[0], limit=20)}): install or load its driver"
        if others:
            return f"{problem}; the {' and '.join(others)} GPU is not supported by this version"
        return f"{problem}; work runs on the CPU"


class MachineProbe:
    """The machine this program runs on.

    Args:
        ours: running runs as {worker pid: run id}.
        folders: {label: folder} whose disks are shown; default: the working folder.
        library: the management library, see `GpuProbe`.
    """

    def __init__(self, *, ours: OurRuns | None = None, folders: Mapping[str, Path] | None = None, library: Any = None) -> None:
        self._ours: OurRuns = ours or dict
        self._known_ours: tuple[float, Mapping[int, str]] = (0.0, {})
        self._gpus = GpuProbe(library)
        self._book = ProcessBook()
        self._cpu = CpuProbe()
        self._disks = DiskProbe(folders if folders is not None else {"working folder": Path.cwd()})
        self._host = clean(platform.node(), limit=60)

    def snapshot(self, t: float) -> Snapshot:
        """Everything, now."""
        begun = time.perf_counter()
        gpus, processes, driver, problem = self._gpus.read(t)
        return Snapshot(
            t=t,
            gpus=gpus,
            cpu=self._cpu.state(),
            memory=memory_state(),
            disks=self._disks.states(),
            processes=self._book.describe(processes, self._our_runs()),
            driver=driver,
            gpu_problem=problem,
            host=self._host,
            seconds=time.perf_counter() - begun,
        )

    def close(self) -> None:
        """End the session with the driver."""
        self._gpus.close()

    def _our_runs(self) -> Mapping[int, str]:
        due, known = self._known_ours
        if time.monotonic() >= due:
            known = self._ours()
            self._known_ours = (time.monotonic() + OURS, known)
        return known


def _driver(nvml: Nvml) -> DriverState:
    version, library = nvml.query("nvmlSystemGetDriverVersion"), nvml.query("nvmlSystemGetNVMLVersion")
    cuda = nvml.query("nvmlSystemGetCudaDriverVersion_v2")
    if cuda is None:
        cuda = nvml.query("nvmlSystemGetCudaDriverVersion")
    return DriverState(
        version=clean(str(version), limit=60) if version is not None else None,
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda is not None else None,
        nvml=clean(str(library), limit=60) if library is not None else None,
    )

"""The last minutes of each live figure, bounded, read by the screen while the sampler writes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from core.hardware.snapshot import GpuState, Snapshot

Value = float | None

HOST_METRICS: Mapping[str, Callable[[Snapshot], Value]] = {
    "cpu": lambda snapshot: snapshot.cpu.percent,
    "load": lambda snapshot: snapshot.cpu.load[0] if snapshot.cpu.load else None,
    "memory": lambda snapshot: snapshot.memory.percent,
    "swap": lambda snapshot: 100.0 * snapshot.memory.swap_used / snapshot.memory.swap_total if snapshot.memory.swap_total else None,
}
"""Percent, except load."""

GPU_METRICS: Mapping[str, Callable[[GpuState], Value]] = {
    "memory": lambda gpu: gpu.memory.percent,
    "memory_used": lambda gpu: gpu.memory.used,
    "utilization": lambda gpu: gpu.utilization,
    "memory_utilization": lambda gpu: gpu.memory_utilization,
    "power": lambda gpu: gpu.power,
    "temperature": lambda gpu: gpu.temperature,
    "sm_clock": lambda gpu: gpu.clocks.sm,
    "pcie_tx": lambda gpu: gpu.pcie.tx,
    "pcie_rx": lambda gpu: gpu.pcie.rx,
    "nvlink_tx": lambda gpu: gpu.nvlink.tx if gpu.nvlink else None,
    "nvlink_rx": lambda gpu: gpu.nvlink.rx if gpu.nvlink else None,
}
"""Units as in `GpuState`; memory in percent, memory_used in bytes."""


class History:
    """One bounded series a metric: of the host under its name, of GPU i under (i, name). A figure not available is None in its place."""

    def __init__(self, length: int = 600) -> None:
        self.length = length
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=length)
        self._series: dict[tuple[int | None, str], deque[Value]] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Append one value to every series; a GPU that appears late is padded with None."""
        values: dict[tuple[int | None, str], Value] = {(None, name): read(snapshot) for name, read in HOST_METRICS.items()}
        for gpu in snapshot.gpus:
            values |= {(gpu.index, name): read(gpu) for name, read in GPU_METRICS.items()}
        with self._lock:
            before = len(self._times)
            self._times.append(snapshot.t)
            for key in values.keys() - self._series.keys():
                self._series[key] = deque([None] * before, maxlen=self.length)
            for key, series in self._series.items():
                series.append(values.get(key))

    def times(self, last: int | None = None) -> tuple[float, ...]:
        """Sampling times, oldest first."""
        with self._lock:
            return tuple(self._times)[-last if last else 0 :]

    def read(self, metric: str, gpu: int | None = None, last: int | None = None) -> tuple[Value, ...]:
        """The series of a host metric, or of a GPU's metric, oldest first, as long as `times()`; empty before the first sample."""
        with self._lock:
            series = tuple(self._series.get((gpu, metric), ()))
        return series[-last if last else 0 :]

    def __len__(self) -> int:
        return len(self._times)

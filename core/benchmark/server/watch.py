"""Look at a server once per second while it is measured: what it says of itself, and what its processes take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

import psutil

from core.benchmark.result import EnergyOf, ServerReport
from core.benchmark.server.listener import listening
from core.benchmark.server.package_energy import PackageMeter
from core.benchmark.server.resources import GpuMeter
from core.engine import Endpoint, Engine, ServerFigures
from core.hardware.live.probe import GpuProbe

_EVERY = 1.0
_SOON = 0.25
"""Seconds to the first look at a load, so that a short one is seen too."""
_GAUGES: Final = ("running", "waiting", "kv_usage")
"""What holds for a moment only: looks between loads do not count."""


@dataclass(frozen=True)
class Look:
    """One look."""

    figures: ServerFigures
    host_bytes: int | None
    gpu_bytes: int | None = None


class Watch:
    """Looks from a thread, between `__enter__` and `__exit__`.

    Args:
        engine: reads the metrics.
        endpoint: of the server.
        pid: of the server's process where it is on this machine; its descendants count too. None: whichever listens at the endpoint's address.
        clock: seconds.
        probe: asks the driver of the GPUs; default: NVIDIA's own, where the process is known.
        packages: counts the energy of the processors; default: the system's counters, where the process is known.
    """

    def __init__(
        self,
        engine: Engine,
        endpoint: Endpoint,
        pid: int | None,
        clock: Callable[[], float] = time.monotonic,
        probe: GpuProbe | None = None,
        packages: PackageMeter | None = None,
    ) -> None:
        pid = listening(endpoint.url) if pid is None else pid
        self._engine, self._endpoint, self._pid = engine, endpoint, pid
        self._meter = GpuMeter(pid, probe or (None if pid is None else GpuProbe()), clock)
        self._packages = packages or (None if pid is None else PackageMeter())
        self._lock = threading.Lock()
        self._joules: float | None = None
        self._processor_joules: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._first: ServerFigures | None = None
        self._peaks: dict[str, float] = {}
        self._sums: dict[str, tuple[float, int]] = {}
        self._marked = threading.Event()
        self._looks = 0
        self.latest = Look(ServerFigures(), None)

    def __enter__(self) -> Watch:
        self._look(loaded=False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._marked.set()
        self._thread.join(10)
        self._look(loaded=False)
        self._joules = self._meter.joules()
        self._processor_joules = self._packages.joules() if self._packages is not None else None
        self._meter.close()

    def mark(self) -> None:
        """The load that is measured begins: energy, counters and peaks of the server's queue count from here."""
        figures = self._engine.figures(self._endpoint)
        with self._lock:
            self._meter.mark()
            if self._packages is not None:
                self._packages.mark()
            self._first, self._looks, self._sums = figures, 0, {}
            self._peaks = {name: value for name, value in self._peaks.items() if name not in _GAUGES}
        self._marked.set()

    def report(self, tokens: int = 0) -> ServerReport:
        """Peaks and means, and what counters gained since `mark`, when `tokens` were generated (for those per joule)."""
        last, first = self.latest.figures, self._first or ServerFigures()
        hits, queries = (_gain(first, last, name) for name in ("prefix_hits", "prefix_queries"))
        drafted, accepted = (_gain(first, last, name) for name in ("drafted", "accepted"))
        energy, energy_of = self._energy()
        peak = self._peaks.get
        host, gpu = peak("host_bytes"), peak("gpu_bytes", peak("memory"))
        return ServerReport(
            peak_running=peak("running"),
            peak_waiting=peak("waiting"),
            peak_kv_usage=peak("kv_usage"),
            mean_running=self._mean("running"),
            mean_waiting=self._mean("waiting"),
            mean_kv_usage=self._mean("kv_usage"),
            looks=self._looks if any(name in self._peaks for name in _GAUGES) else 0,
            prefix_hit_rate=None if hits is None or not queries else hits / queries,
            acceptance=None if accepted is None or not drafted else accepted / drafted,
            host_bytes=None if host is None else int(host),
            gpu_bytes=None if gpu is None else int(gpu),
            joules=self._joules,
            processor_joules=self._processor_joules,
            tokens_per_joule=tokens / energy if energy and tokens else None,
            energy_of=energy_of,
        )

    def _energy(self) -> tuple[float | None, EnergyOf]:
        """Of what computes: the GPUs where the server is on any, else the processors."""
        if self._meter.latest.gpus or self._joules is not None:
            return self._joules, "GPUs" if self._joules is not None else ""
        return self._processor_joules, "processors" if self._processor_joules is not None else ""

    def _run(self) -> None:
        """A look a second, and one soon after the mark."""
        while not self._over.is_set():
            if not self._marked.is_set():
                if self._marked.wait(_EVERY):
                    self._over.wait(_SOON)
            elif self._over.wait(_EVERY):
                break
            if not self._over.is_set():
                self._look(loaded=True)

    def _look(self, *, loaded: bool) -> None:
        """Request now; what holds for a moment only counts while there is a load."""
        first = self._first
        figures = self._engine.figures(self._endpoint)
        host = host_bytes(self._pid)
        with self._lock:
            gpu = self._meter.look()
            if self._packages is not None:
                self._packages.look()
            self.latest = Look(figures, host, gpu.memory)
            self._first = self._first or figures
            if loaded and self._first is first:
                self._looks += 1
            for name, value in {each.name: getattr(figures, each.name) for each in fields(figures)}.items():
                if name not in _GAUGES or (loaded and self._first is first):
                    self._raise(name, value)
            self._raise("host_bytes", host)
            self._raise("gpu_bytes", gpu.memory)

    def _raise(self, name: str, value: float | None) -> None:
        if value is not None:
            self._peaks[name] = max(value, self._peaks.get(name, value))
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)

    def _mean(self, name: str) -> float | None:
        total, count = self._sums.get(name, (0.0, 0))
        return total / count if count else None


def host_bytes(pid: int | None) -> int | None:
    """Resident memory of a process and its descendants, shared pages counted once where the system knows (PSS); None where it cannot be seen."""
    if pid is None:
        return None
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    total = 0
    for process in family:
        try:
            full = process.memory_full_info()
            total += int(getattr(full, "pss", 0) or full.rss)
        except psutil.Error:
            continue
    return total or None


def _gain(first: ServerFigures, last: ServerFigures, name: str) -> float | None:
    """What a counter gained; None where the server was not heard at the first look, or began anew since."""
    before, after = getattr(first, name), getattr(last, name)
    if after is None or first == ServerFigures() or after < (before or 0.0):
        return None
    return float(after - (before or 0.0))

"""Look at a server once a second while it is measured: what it says of itself, and what its processes take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import psutil

from core.benchmark.resources import GpuMeter
from core.benchmark.result import ServerReport
from core.engine import Endpoint, Engine, ServerFigures
from core.hardware.probe import GpuProbe

_EVERY = 1.0


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
        pid: of the server's process where it is on this machine; its descendants count too.
        clock: seconds.
        probe: asks the driver of the GPUs; default: NVIDIA's own, where the process is known.
    """

    def __init__(
        self,
        engine: Engine,
        endpoint: Endpoint,
        pid: int | None,
        clock: Callable[[], float] = time.monotonic,
        probe: GpuProbe | None = None,
    ) -> None:
        self._engine, self._endpoint, self._pid = engine, endpoint, pid
        self._meter = GpuMeter(pid, probe or (None if pid is None else GpuProbe()), clock)
        self._lock = threading.Lock()
        self._joules: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._first: ServerFigures | None = None
        self._peaks: dict[str, float] = {}
        self.latest = Look(ServerFigures(), None)

    def __enter__(self) -> Watch:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._look()
        self._joules = self._meter.joules()
        self._meter.close()

    def mark(self) -> None:
        """The load that is measured begins: energy counts from here."""
        with self._lock:
            self._meter.mark()

    def report(self, tokens: int = 0) -> ServerReport:
        """Peaks, and what counters gained since the first look.

        Args:
            tokens: that were generated since `mark`, for those a joule.
        """
        last, first = self.latest.figures, self._first or ServerFigures()
        hits, queries = (_gain(first, last, name) for name in ("prefix_hits", "prefix_queries"))
        drafted, accepted = (_gain(first, last, name) for name in ("drafted", "accepted"))
        host = self._peaks.get("host_bytes")
        gpu = self._peaks.get("gpu_bytes", self._peaks.get("memory"))
        return ServerReport(
            peak_running=self._peaks.get("running"),
            peak_waiting=self._peaks.get("waiting"),
            peak_kv_usage=self._peaks.get("kv_usage"),
            prefix_hit_rate=None if hits is None or not queries else hits / queries,
            acceptance=None if accepted is None or not drafted else accepted / drafted,
            host_bytes=None if host is None else int(host),
            gpu_bytes=None if gpu is None else int(gpu),
            joules=self._joules,
            tokens_per_joule=tokens / self._joules if self._joules and tokens else None,
        )

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        figures = self._engine.figures(self._endpoint)
        self._first = self._first or figures
        with self._lock:
            gpu = self._meter.look()
        self.latest = Look(figures, host_bytes(self._pid), gpu.memory)
        for each in fields(figures):
            self._raise(each.name, getattr(figures, each.name))
        self._raise("host_bytes", self.latest.host_bytes)
        self._raise("gpu_bytes", self.latest.gpu_bytes)

    def _raise(self, name: str, value: float | None) -> None:
        if value is not None:
            self._peaks[name] = max(value, self._peaks.get(name, value))


def host_bytes(pid: int | None) -> int | None:
    """Resident memory of a process and its descendants, shared pages counted once where the system tells (PSS); None where it cannot be seen."""
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
    before, after = getattr(first, name), getattr(last, name)
    return None if after is None else after - (before or 0.0)

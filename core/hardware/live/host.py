"""CPU, main memory and disks through psutil, each at its own pace."""

from __future__ import annotations

import os
import platform
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import psutil

from core.hardware.snapshot import CpuState, DiskState, MemoryState
from core.measure.limits import container_memory, cores

DISK_PERIOD = 10.0
"""Seconds between two looks at the disks."""
DISK_PATIENCE = 0.5
"""Seconds to wait for a file system; one that hangs (NFS) is shown as not available."""

# psutil warns at every look where /proc/vmstat is hidden; a filter set aside for each call is not safe on a thread.
warnings.filterwarnings("ignore", message=".*swap memory stats.*", category=RuntimeWarning)


class CpuProbe:
    """Busy share of each core between two calls."""

    def __init__(self) -> None:
        self._name = cpu_name()
        self._logical = cores()
        self._physical = min(psutil.cpu_count(logical=False) or self._logical, self._logical)
        self._last = _times()

    def state(self) -> CpuState:
        """Shares since the last call (since construction at the first call); None before any time has passed."""
        now = _times()
        shares = [_share(before, after) for before, after in zip(self._last, now, strict=False)]
        known = tuple(share for share in shares if share is not None)
        self._last = now
        return CpuState(
            percent=sum(known) / len(known) if known else None,
            per_core=known if len(known) == len(now) else (),
            load=_load(),
            logical=self._logical,
            physical=self._physical,
            name=self._name,
        )


def cpu_name() -> str | None:
    """The processor's own name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "Model", "cpu model"}:
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None


def memory_state() -> MemoryState:
    """Main memory, swap, and the limit of the control groups."""
    memory = psutil.virtual_memory()
    swap = psutil.swap_memory()
    limit, limit_used = container_memory()
    if limit is not None and limit >= memory.total:
        limit = limit_used = None
    return MemoryState(memory.total, memory.total - memory.available, memory.available, swap.total, swap.used, limit, limit_used)


class DiskProbe:
    """The file systems of named folders, looked at rarely and on a thread of its own, so that a dead mount stops nothing."""

    def __init__(self, folders: Mapping[str, Path], period: float = DISK_PERIOD) -> None:
        self._folders = dict(folders)
        self._period = period
        self._states = tuple(DiskState(label, str(path)) for label, path in self._folders.items())
        self._due = 0.0
        self._thread: threading.Thread | None = None

    def states(self) -> tuple[DiskState, ...]:
        """The latest figures; a folder that does not exist yet is measured where it would be made."""
        first = self._thread is None
        if self._folders and time.monotonic() >= self._due and (first or not self._busy()):
            self._due = time.monotonic() + self._period
            self._thread = threading.Thread(target=self._look, name="llmopt-disks", daemon=True)
            self._thread.start()
            if first:
                self._thread.join(DISK_PATIENCE)
        return self._states

    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _look(self) -> None:
        self._states = tuple(disk_state(label, path) for label, path in self._folders.items())


def disk_state(label: str, path: Path) -> DiskState:
    """The file system that holds `path` or would hold it."""
    for place in (path, *path.absolute().parents):
        try:
            usage = psutil.disk_usage(str(place))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            break
        return DiskState(label, str(path), usage.total, usage.used, usage.free)
    return DiskState(label, str(path))


def _times() -> list[tuple[float, float]]:
    """(busy, total) seconds of each core since boot."""
    rows = []
    for core in psutil.cpu_times(percpu=True):
        total = sum(core) - getattr(core, "guest", 0.0) - getattr(core, "guest_nice", 0.0)
        rows.append((total - core.idle - getattr(core, "iowait", 0.0), total))
    return rows


def _share(before: tuple[float, float], after: tuple[float, float]) -> float | None:
    elapsed = after[1] - before[1]
    return min(max(100.0 * (after[0] - before[0]) / elapsed, 0.0), 100.0) if elapsed > 0 else None


def _load() -> tuple[float, float, float] | None:
    try:
        return os.getloadavg()
    except (OSError, AttributeError):
        return None

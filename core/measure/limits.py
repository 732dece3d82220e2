"""How much of the machine this process may have: its control groups, at every level up to the root, and its cores.

Slurm, systemd and Kubernetes set their limits on groups above that of the process; the tightest counts.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
_NO_LIMIT = 2**62
"""What version 1 writes for none."""


def container_memory(root: Path = CGROUP, *, membership: Path = MEMBERSHIP) -> tuple[int | None, int | None]:
    """(limit, used) in bytes; (None, None) without a limit.

    Limit is that of the tightest group, used is the limit less what the fullest of all groups leaves. Pages of files that the kernel would drop
    do not count as used. Above `memory.high` a process is not ended but held back until it hardly moves: that is a limit too.
    """
    limits: list[int] = []
    room: list[int] = []
    for group in _groups("memory", root, membership):
        for limit_file, used_file, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.high", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = _number(group / limit_file)
            if limit is not None and limit < _NO_LIMIT:
                used = (_number(group / used_file) or 0) - _counters(group / "memory.stat").get(cache, 0)
                limits.append(limit)
                room.append(limit - max(used, 0))
    return (min(limits), min(limits) - max(min(*room, min(limits)), 0)) if limits else (None, None)


def available_memory() -> int:
    """Bytes of main memory that a new program can have now."""
    available = int(psutil.virtual_memory().available)
    limit, used = container_memory()
    return available if limit is None else max(min(available, limit - (used or 0)), 0)


def total_memory() -> int:
    """Bytes of main memory that programs can have: what is there, or less where a limit is set."""
    return min(int(psutil.virtual_memory().total), container_memory()[0] or _NO_LIMIT)


def cpu_quota(root: Path = CGROUP, *, membership: Path = MEMBERSHIP) -> float | None:
    """Cores' worth of time that the groups of this process grant; None without a limit."""
    quotas = []
    for group in _groups("cpu", root, membership):
        words = _text(group / "cpu.max").split() or [_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")]
        if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def cores() -> int:
    """Logical cores that this process may use: its affinity, and no more than its quota of time keeps busy."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(allowed, math.ceil(cpu_quota() or allowed)), 1)


def thread_limit() -> int | None:
    """Threads for a program that looks at the machine's cores alone; None where this process may use them all."""
    allowed = cores()
    return allowed if allowed < (os.cpu_count() or allowed) else None


def _groups(controller: str, root: Path, membership: Path) -> Iterator[Path]:
    """Folders of the process's groups for a controller, innermost first. A group that a container does not see is passed over."""
    for line in _text(membership).splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = next((place for place in (root / controllers, root / controller) if place.is_dir()), root) if hierarchy != "0" else root
        if hierarchy == "0" and (root / "unified").is_dir():
            top = root / "unified"
        group = top.joinpath(*(part for part in name.split("/") if part not in {"", ".."}))
        while group != top:
            yield group
            group = group.parent
        yield top


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _counters(path: Path) -> dict[str, int]:
    words = _text(path).split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()}

"""Which process is meant: a pid alone is reused, a pid with its start time is not."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_PROC = Path("/proc")
_DEAD = {"Z", "X", "x"}


def started(pid: int) -> float | None:
    """When the live process `pid` began, in seconds since boot (Linux) or since 1970; None when it is dead or a zombie.

    On Linux this is the kernel's own count of ticks, which does not move when the wall clock is set.
    """
    if _PROC.joinpath("self/stat").exists():
        return _linux_started(pid)
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def alive(pid: int | None, since: float | None) -> bool:
    """Whether the very process that began at `since` still lives."""
    if pid is None or since is None:
        return False
    now = started(pid)
    return now is not None and abs(now - since) < 0.02


def _linux_started(pid: int) -> float | None:
    try:
        text = _PROC.joinpath(str(pid), "stat").read_text(errors="replace")
    except OSError:
        return None
    # The command in parentheses may hold anything, parentheses included.
    fields = text[text.rfind(")") + 2 :].split()
    if fields[0] in _DEAD:
        return None
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Place:
    """Where pids mean something: a machine between two boots, and a pid namespace in it."""

    host: str
    boot: str
    namespace: str

    def is_here(self) -> bool:
        """Whether the pids of this place can be looked up by this process."""
        return self.boot == here().boot and self.namespace == here().namespace

    def was_restarted(self) -> bool:
        """Whether this is the same machine (by name), booted again since."""
        return self.host == here().host and self.boot != here().boot


@cache
def here() -> Place:
    """The place of this process."""
    return Place(socket.gethostname(), _boot(), _namespace())


def _boot() -> str:
    try:
        return _PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _namespace() -> str:
    try:
        return str(_PROC.joinpath("self/ns/pid").readlink())
    except OSError:
        return ""

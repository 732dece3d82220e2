"""Ends a process, and only the one that was meant."""

from __future__ import annotations

import os
import signal as signals
from pathlib import Path

import psutil

from core.errors import RequestError, RunFailed

SAME_START = 1.0
"""Seconds by which two readings of one process's start may differ: the clock is adjusted between them."""
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC


def in_container(proc: Path = Path("/proc")) -> bool:
    """Whether pids here are not the host's: this process lives in a pid namespace of its own."""
    try:
        return (proc / "self/ns/pid").stat().st_ino != _INITIAL_PID_NAMESPACE
    except OSError:
        return False


def is_foreign(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether a pid that the GPU driver names means nothing here.

    In a container the driver may name the host's pids, and the same number may belong to an unrelated
    process of the container. There a pid is trusted only when its process has an NVIDIA device open.
    """
    if not in_container(proc):
        return False
    try:
        descriptors = list((proc / str(pid) / "fd").iterdir())
    except OSError:
        return True
    return not any(_target(descriptor).startswith("/dev/nvidia") for descriptor in descriptors)


def kill(pid: int, started: float | None, signal: int = signals.SIGTERM, *, from_gpu: bool = False) -> None:
    """Send a signal to the process `pid` that began at `started` (seconds since the epoch).

    Args:
        pid: the process.
        started: when the process that is meant began, as `ProcessState.started` shows it.
        signal: SIGTERM asks it to end, SIGKILL ends it.
        from_gpu: the pid was named by the GPU driver, whose pids may be another namespace's.

    Raises:
        RequestError: the process is this program or the system's first, is gone, is another one by now, or lives in another namespace.
        RunFailed: the operating system refuses.
    """
    if pid <= 1:
        raise RequestError(f"pid {pid} cannot be ended: choose another")
    if pid == os.getpid():
        raise RequestError("that process is this program: use its quit key")
    if from_gpu and is_foreign(pid):
        raise RequestError(f"pid {pid} belongs to another namespace (the host's, seen from a container): end it from the host")
    if started is None:
        raise RequestError(f"nothing is known about process {pid}, so it could be a later one with the same pid: end it by hand")
    handle = _open(pid)
    try:
        _same(pid, started)
        _send(pid, handle, signal)
    finally:
        if handle is not None:
            os.close(handle)


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _open(pid: int) -> int | None:
    """A descriptor that stays with this very process, where the system has them."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise _gone(pid) from error
    except (OSError, AttributeError):
        return None


def _same(pid: int, started: float) -> None:
    try:
        actual = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess as error:
        raise _gone(pid) from error
    except psutil.AccessDenied as error:
        raise _refused(pid) from error
    if abs(actual - started) > SAME_START:
        raise RequestError(f"process {pid} has ended and its pid now belongs to another process: refresh")


def _send(pid: int, handle: int | None, signal: int) -> None:
    try:
        if handle is not None:
            signals.pidfd_send_signal(handle, signal)
        else:
            os.kill(pid, signal)
    except ProcessLookupError as error:
        raise _gone(pid) from error
    except PermissionError as error:
        raise _refused(pid) from error
    except OSError as error:
        raise RunFailed(f"process {pid} could not be signalled: {error.strerror or error}") from error


def _gone(pid: int) -> RequestError:
    return RequestError(f"process {pid} has already ended")


def _refused(pid: int) -> RunFailed:
    try:
        owner = psutil.Process(pid).username()
    except (psutil.Error, KeyError):
        owner = "another user"
    return RunFailed(f"process {pid} belongs to {owner} and this user may not end it: ask {owner}, or use sudo kill {pid}")

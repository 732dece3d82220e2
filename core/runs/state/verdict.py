"""How a run ended that could not say so itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import psutil

from core.measure.units import size
from core.runs.state.events import EventWriter, StateChange, now
from core.runs.state.process import started
from core.runs.state.state import State, Status
from core.runs.state.store import Run

_TICK = 0.02
"""Seconds by which two readings of a start may differ."""


def close(run: Run, state: State, status: Status, reason: str, exit_code: int) -> State:
    """The final state, saved where the disk allows; what was said first stays."""
    current = run.state
    if current.is_over:
        return current
    final = state.model_copy(update={"status": status, "ended": time.time(), "exit_reason": reason, "exit_code": exit_code})
    # Whoever looks shall see it, even when a full disk keeps it from being written.
    with contextlib.suppress(OSError):
        writer = EventWriter(run.events_file)
        writer.write(StateChange(now(), status, reason))
        writer.close()
    with contextlib.suppress(OSError):
        run.save_state(final)
    return final


def died(run: Run, state: State) -> State:
    """Close a run whose worker and supervisor are gone."""
    if state.status == "queued":
        reason = "it never started: the program that requested it exited first"
    elif state.place.was_restarted():
        reason = "the machine was restarted during the run"
    elif shutil.disk_usage(run.path).free == 0:
        reason = f"no space left on the disk of {run.path}, so the run could not record how it ended: free some space and run again"
    elif not os.access(run.path, os.W_OK):
        reason = f"{run.path} is not writable, so the run could not record how it ended: change its permissions and run again"
    else:
        reason = "killed with no exit record, together with its supervisor (probably by SIGKILL)"
    if state.pid is not None:
        _end_left(state)
        sweep(run, state.pid)
    return close(run, state, "failed", reason, 1)


def _end_left(state: State) -> None:
    """What a dead worker had started, such as an engine's server, ends with it: the members of its process group.

    The number of a group is not given to another process while it has members. One whose leader lives, or with a member that is older than the
    worker was, is another's.
    """
    group, since = state.pid, state.pid_started
    if group is None or since is None or group == os.getpgrp() or not state.place.is_here() or started(group) is not None:
        return
    began = [started(pid) for pid in psutil.pids() if _group_of(pid) == group]
    if all(moment is None or moment >= since - _TICK for moment in began):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def how_it_ended(code: int, *, out_of_memory: bool, peak_bytes: int) -> str:
    """The sentence for a worker that ended without a word.

    Args:
        code: as `os.waitstatus_to_exitcode` gives it: minus the signal, or the exit code.
        out_of_memory: the kernel killed something for want of memory while the worker lived.
        peak_bytes: the most memory the worker ever held.
    """
    if code >= 0:
        return f"the worker ended with exit code {code} and no message: see log.txt"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    peak = f"its memory peaked at {size(peak_bytes)}"
    if -code == signal.SIGKILL and out_of_memory:
        return f"killed by {name}: the kernel ran out of memory, {peak}; choose a smaller setting or a smaller model"
    if -code == signal.SIGKILL:
        return f"killed by {name} from outside (kill -9, or a memory limit); {peak}"
    return f"killed by {name}: see log.txt; {peak}"


def sweep(run: Run, pid: int) -> None:
    """Remove what the dead worker `pid` left under temporary names, in its artifacts and next to its output folder."""
    ending = f".partial-{pid}"
    left = [*run.artifacts.glob(f"*{ending}"), *run.artifacts.glob(".compare-*"), *run.kept.glob(f".*.{pid}.new")]
    out = run.values.get("out")
    if isinstance(out, str) and out:
        final = Path(str(run.document.get("folder", "."))) / out
        left.append(final.with_name(final.name + ending))
    for path in left:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

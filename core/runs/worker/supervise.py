"""The small process above a worker: passes on the request to stop, and says which signal ended it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from core.errors import Cancelled
from core.measure.peak_memory import maxrss_bytes
from core.runs.state.process import started
from core.runs.state.store import Run
from core.runs.state.verdict import close, how_it_ended, sweep

_REQUESTS = {signal.SIGTERM, signal.SIGINT}
_STEPS = (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL)
STEP_SECONDS = 5.0
"""Between two steps of the request to stop."""


def supervise(run: Run, work: Callable[[], int]) -> int:
    """Do `work` in a child process and wait for it; returns its exit code.

    The child leads a process group of its own. SIGTERM to this process becomes SIGTERM, SIGTERM, SIGKILL to that group,
    `STEP_SECONDS` apart. Should the child die of a signal, its run is closed with the signal's name.
    """
    killed_before = _oom_kills()
    start = run.state.resumed
    # A request to stop that comes in between waits until there is someone to pass it on.
    signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
        _leave(work)
    _pass_on(child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
    # Not reaped yet: its pid, which names the group too, cannot have been given to another process.
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        _end_group(child)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _, status, usage = os.wait4(child, 0)
    sweep(run, child)
    code = os.waitstatus_to_exitcode(status)
    state = run.state
    if state.resumed != start:
        # Cancelled, and asked to go on already: that is another start's to end.
        return max(code, 1) if code else 0
    if not state.is_over and (_asked[0] or code == Cancelled.exit_code):
        killed = "; it did not stop by itself and was killed" if code == -signal.SIGKILL else ""
        close(run, state, "cancelled", f"cancelled{killed}", Cancelled.exit_code)
    elif not state.is_over:
        close(run, state, "failed", how_it_ended(code, out_of_memory=_oom_kills() > killed_before, peak_bytes=maxrss_bytes(usage)), 1)
    return max(code, 1) if code else 0


_asked = [0]


def _leave(work: Callable[[], int]) -> None:
    code = 1
    try:
        code = work()
        sys.stdout.flush()
    except Cancelled:
        code = Cancelled.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _pass_on(child: int) -> None:
    def next_step(_number: int, _frame: FrameType | None) -> None:
        step = _STEPS[min(_asked[0], len(_STEPS) - 1)]
        _asked[0] += 1
        signal.setitimer(signal.ITIMER_REAL, STEP_SECONDS)
        _signal_group(child, step)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, next_step)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _signal_group(group: int, number: signal.Signals) -> None:
    if started(group) is not None:
        os.killpg(group, number)


def _end_group(group: int) -> None:
    """What the worker had started ends with it."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _oom_kills() -> int:
    """How many processes the kernel has killed for want of memory, where it says so."""
    total = 0
    for path in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events")):
        try:
            words = path.read_text().split()
        except OSError:
            continue
        counts = dict(zip(words[::2], words[1::2], strict=False))
        total += int(counts.get("oom_kill", 0))
    return total

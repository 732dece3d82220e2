"""What is known of the processes on the GPUs and of our runs: looked up once, then only their use of CPU and memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from core.hardware.live.gpu import RawProcess
from core.hardware.live.processes import is_foreign
from core.hardware.snapshot import ProcessState
from core.sanitize import clean


@dataclass
class _Known:
    process: psutil.Process | None
    started: float | None = None
    owner: str | None = None
    command: str | None = None
    family: tuple[int, ...] = ()
    """Its group, its session and its ancestors, as pids."""
    foreign: bool = False


class ProcessBook:
    """Facts about processes by pid, kept as long as the process is listed."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def describe(self, listed: Iterable[RawProcess], ours: Mapping[int, str]) -> tuple[ProcessState, ...]:
        """One row for each listed process, largest first, then our runs that are on no GPU.

        Args:
            listed: what the GPU driver lists.
            ours: running runs as {worker pid: run id}; the processes of a worker's group, and its descendants, are ours too.
        """
        rows = list(listed)
        on_gpu = {row.pid for row in rows}
        known = {pid: self._look(pid, from_gpu=True) for pid in on_gpu}
        known |= {pid: self._look(pid, from_gpu=False) for pid in ours if pid not in on_gpu}
        self._known = known
        usage = {pid: _usage(facts) for pid, facts in known.items()}
        states = [_state(row, known[row.pid], usage[row.pid], ours) for row in rows]
        states.sort(key=lambda state: (-(state.gpu_memory or 0), state.pid))
        present = {state.run for state in states}
        for pid, run in ours.items():
            if pid not in on_gpu and run not in present and known[pid].process is not None:
                states.append(_state(RawProcess(pid, "run", -1, None), known[pid], usage[pid], ours))
        return tuple(states)

    def _look(self, pid: int, from_gpu: bool) -> _Known:
        known = self._known.get(pid)
        if known is not None and known.process is not None and _lives(known.process):
            return known
        if known is not None and known.foreign:
            return known
        return _facts(pid, from_gpu)


def _facts(pid: int, from_gpu: bool) -> _Known:
    if from_gpu and is_foreign(pid):
        return _Known(None, foreign=True)
    try:
        process = psutil.Process(pid)
        known = _Known(process, started=process.create_time())
    except psutil.Error:
        return _Known(None)
    try:
        with process.oneshot():
            known.owner = clean(process.username(), limit=60)
            command = " ".join(process.cmdline()) or process.name()
            known.command = clean(command, limit=500)
        process.cpu_percent(None)
    except (psutil.Error, KeyError, OSError):
        known.command = known.command or None
    known.family = _family(pid, process)
    return known


def _family(pid: int, process: psutil.Process) -> tuple[int, ...]:
    try:
        return (os.getpgid(pid), os.getsid(pid), *(parent.pid for parent in process.parents()))
    except (psutil.Error, OSError):
        return ()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running())
    except psutil.Error:
        return False


def _usage(known: _Known) -> tuple[float | None, int | None]:
    if known.process is None:
        return None, None
    try:
        with known.process.oneshot():
            return known.process.cpu_percent(None), known.process.memory_info().rss
    except (psutil.Error, OSError):
        return None, None


def _state(row: RawProcess, known: _Known, usage: tuple[float | None, int | None], ours: Mapping[int, str]) -> ProcessState:
    run = None if known.foreign else next((ours[pid] for pid in (row.pid, *known.family) if pid in ours), None)
    return ProcessState(
        pid=row.pid,
        kind=row.kind,
        gpu=None if row.kind == "run" else row.gpu,
        gpu_memory=row.memory,
        mig=row.mig,
        started=known.started,
        owner=known.owner,
        command=known.command,
        cpu=usage[0],
        rss=usage[1],
        ours=run is not None,
        run=run,
        foreign=known.foreign,
    )

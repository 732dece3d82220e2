"""The question before a process is ended: which one, whose, and how. Gentle first: a run is cancelled, then SIGTERM, and SIGKILL for what stays."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import IntEnum

from core.hardware.snapshot import ProcessState
from core.sanitize import clean
from tui.hardware import words


class Means(IntEnum):
    """How a process is ended, the gentlest first."""

    CANCEL = 0
    TERMINATE = signal.SIGTERM
    KILL = signal.SIGKILL


@dataclass(frozen=True)
class _Words:
    yes: str
    explanation: str
    done: str


WORDS = {
    Means.CANCEL: _Words("Cancel the run", "It belongs to your run {run}, which is cancelled as under Runs (ctrl+r).", "Run {run} was cancelled."),
    Means.TERMINATE: _Words("Terminate", "SIGTERM asks it to end; it can clean up.", "Process {pid} was asked to end; if it stays, x kills it."),
    Means.KILL: _Words("Kill", "It was asked to end and still runs. SIGKILL ends it at once; unsaved work is lost.", "Process {pid} was killed."),
}


def next_means(process: ProcessState, tried: Means | None) -> Means:
    """The gentlest means that was not tried on this process yet; SIGKILL when all were.

    Args:
        process: to end.
        tried: the strongest means that it has outlived.
    """
    if tried is None and process.run:
        return Means.CANCEL
    return Means.TERMINATE if tried in {None, Means.CANCEL} else Means.KILL


def describe(process: ProcessState, means: Means) -> str:
    """What a user must know before ending a process."""
    lines = [f"pid      {process.pid}", f"owner    {clean(process.owner or words.NA)}"]
    if process.gpu is not None:
        lines.append(f"GPU      {process.gpu}, {words.size(process.gpu_memory)} of its memory")
    lines += [f"command  {clean(process.command or words.NA, limit=400)}", "", _filled(WORDS[means].explanation, process)]
    return "\n".join(lines)


def done(process: ProcessState, means: Means) -> str:
    """What was done to a process."""
    return _filled(WORDS[means].done, process)


def _filled(text: str, process: ProcessState) -> str:
    return text.format(run=clean(process.run or ""), pid=process.pid)

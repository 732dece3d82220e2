"""The table of processes: who holds GPU memory, and which of them are our runs."""

from __future__ import annotations

from core.hardware.snapshot import ProcessState
from core.sanitize import clean
from tui.hardware import words
from tui.widgets.live import Line, Run, fit

Key = tuple[int, int | None, int | None]
_FIXED = (("GPU", 4), ("pid", 8), ("owner", 9), ("memory", 10), ("CPU", 6), ("run", 5))
_WIDE = (("RAM", 10), ("kind", 9))
WIDE_FROM = 100


def key(process: ProcessState) -> Key:
    """What identifies a row among the others: a process has one for each GPU and slice."""
    return process.pid, process.gpu, process.mig


def head(width: int) -> Line:
    """The head of the table."""
    columns = (*_FIXED, *(_WIDE if width >= WIDE_FROM else ()))
    right = {"memory", "CPU", "RAM", "pid"}
    titles = "".join(fit(title, size - 1, "right" if title in right else "left") + " " for title, size in columns)
    return ((" " + titles + "command", "muted"),)


def row(process: ProcessState, width: int) -> Line:
    """One process; `ours` marks what a run of this program started."""
    where = "-" if process.gpu is None else str(process.gpu) + ("" if process.mig is None else f":{process.mig}")
    owner = "host's" if process.foreign else clean(process.owner or words.NA)
    memory = words.size(process.gpu_memory) if process.gpu is not None else "-"
    runs: list[Run] = [
        _cell(where, 4, "left"),
        _cell(str(process.pid), 8, "right"),
        _cell(owner, 9, "left"),
        _cell(memory, 10, "right"),
        _cell(words.percent(process.cpu), 6, "right"),
        (fit("ours" if process.ours else "", 5), "good"),
    ]
    if width >= WIDE_FROM:
        runs += [_cell(words.size(process.rss), 10, "right"), _cell(process.kind, 9, "left")]
    runs.append((clean(process.command or words.NA), "" if process.command else "muted"))
    return tuple(runs)


def _cell(text: str, width: int, align: str) -> Run:
    return fit(text, width - 1, "right" if align == "right" else "left") + " ", words.known(text)

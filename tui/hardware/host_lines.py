"""The host: processors, memory, swap and the disks of our folders, compact next to GPUs and at length without any."""

from __future__ import annotations

from core.hardware.live.history import History
from core.hardware.snapshot import DiskState, Snapshot
from core.sanitize import clean
from tui.hardware import words
from tui.widgets.chart.strip import columns, history, meter
from tui.widgets.live import Line, Run, clip, fit, line_width

LABEL = 10


def compact(snapshot: Snapshot, series: History, width: int) -> list[Line]:
    """Three lines: processors, memory, disks."""
    return [_cpu(snapshot, series, width), _memory(snapshot, series, width), _disks(snapshot, width)]


def full(snapshot: Snapshot, series: History, width: int, height: int) -> list[Line]:
    """What fills a tab on a machine without GPU: a meter for every core, histories, a line for every disk."""
    cpu = snapshot.cpu
    counts = f"{words.number(cpu.physical)} cores, {words.number(cpu.logical)} threads"
    above: list[Line] = [clip((("CPU ", "accent"), (clean(cpu.name or words.NA), "strong"), (f"  {counts}", "muted")), width)]
    strip = max(min(width - LABEL - 40, 60), 8)
    above.append(_strip("busy", history(series.read("cpu", last=2 * strip), strip), _shares(words.percent(cpu.percent), _load(snapshot))))
    below = [
        _meter_line("memory", snapshot.memory.percent, snapshot.memory.used, snapshot.memory.total, strip),
        _strip("", history(series.read("memory", last=2 * strip), strip), ((" over time", "muted"),)),
        *_limit(snapshot, strip),
        _swap_line(snapshot, strip),
        *(_disk_line(disk, strip) for disk in snapshot.disks),
    ]
    cores = core_grid(cpu.per_core, width, max(height - len(above) - len(below) - 2, 1))
    lines = [*above, (), *cores, (), *below]
    return [clip(line, width) for line in lines[: max(height, 0)]]


def core_grid(shares: tuple[float, ...], width: int, height: int) -> list[Line]:
    """A meter for every core in as few rows as look well; single characters when there are too many cores."""
    if not shares:
        return [(("cores   ", "muted"), (words.NA, "muted"))]
    across = next((count for count in range(1, width // 14 + 1) if -(-len(shares) // count) <= height and count >= min(4, width // 20)), 0)
    if not across:
        return [((fit("cores", LABEL), "muted"), (columns(shares, width - LABEL), "bar"))]
    down = -(-len(shares) // across)
    cell = width // across
    return [_core_row(shares, row, down, across, cell) for row in range(down)]


def _core_row(shares: tuple[float, ...], row: int, down: int, across: int, cell: int) -> Line:
    runs: list[Run] = []
    for core in range(row, min(down * across, len(shares)), down):
        share = shares[core]
        runs += [(f"{core:>3} ", "muted"), (meter(share, cell - 11), "bar"), (f" {words.percent(share):>4}  ", "")]
    return tuple(runs)


def _cpu(snapshot: Snapshot, series: History, width: int) -> Line:
    cpu = snapshot.cpu
    cores = columns(cpu.per_core, min(len(cpu.per_core), 16))
    text = f" {words.percent(cpu.percent):>4} of {words.number(cpu.logical)} threads  {_load(snapshot)}"
    left: Line = ((fit("CPU", LABEL), "accent"), (cores, "bar"), (text, ""))
    left = _to(left, width)
    strip = max(width - line_width(left), 0)
    return clip((*left, (history(series.read("cpu", last=2 * strip), strip), "quiet-bar")), width)


def _memory(snapshot: Snapshot, series: History, width: int) -> Line:
    memory = snapshot.memory
    runs: list[Run] = [(fit("memory", LABEL), "accent"), (meter(memory.percent, 10), "bar")]
    runs.append((f" {words.pair(memory.used, memory.total)}", words.fullness(memory.percent)))
    if memory.limit is not None:
        share = 100 * (memory.limit_used or 0) / memory.limit if memory.limit else None
        runs.append((f", container {words.pair(memory.limit_used, memory.limit)}", words.fullness(share)))
    runs.append((f"   swap {_swap(snapshot)}", "" if memory.swap_total else "muted"))
    left = _to(tuple(runs), width)
    strip = max(width - line_width(left), 0)
    return clip((*left, (history(series.read("memory", last=2 * strip), strip), "quiet-bar")), width)


def _to(line: Line, width: int) -> Line:
    """Padded so that histories begin below each other."""
    return (*line, (" " * max(min(64, width - 18) - line_width(line), 2), ""))


def _disks(snapshot: Snapshot, width: int) -> Line:
    runs: list[Run] = [(fit("disks", LABEL), "accent")]
    for disk in snapshot.disks:
        share = _used_share(disk)
        text = f"{words.size(disk.free)} free of {words.size(disk.total)}" if disk.total is not None else words.NA
        runs += [(f"{clean(disk.label)} ", "muted"), (f"{text}   ", words.fullness(share, 90, 97))]
    return clip(tuple(runs) if snapshot.disks else (*runs, (words.NA, "muted")), width)


def _disk_line(disk: DiskState, strip: int) -> Line:
    line = _meter_line(f"{clean(disk.label)}", _used_share(disk), disk.used, disk.total, strip)
    free = f", {words.size(disk.free)} free" if disk.free is not None else ""
    return (*line, (f"{free}  {clean(disk.path)}", "muted"))


def _used_share(disk: DiskState) -> float | None:
    return None if disk.total is None or disk.free is None or not disk.total else 100.0 * (1 - disk.free / disk.total)


def _limit(snapshot: Snapshot, strip: int) -> list[Line]:
    memory = snapshot.memory
    if memory.limit is None:
        return []
    share = 100 * (memory.limit_used or 0) / memory.limit if memory.limit else None
    return [_meter_line("container", share, memory.limit_used, memory.limit, strip)]


def _swap_line(snapshot: Snapshot, strip: int) -> Line:
    memory = snapshot.memory
    if not memory.swap_total:
        return ((fit("swap", LABEL), "muted"), ("none", "muted"))
    return _meter_line("swap", 100 * memory.swap_used / memory.swap_total, memory.swap_used, memory.swap_total, strip)


def _swap(snapshot: Snapshot) -> str:
    memory = snapshot.memory
    return words.pair(memory.swap_used, memory.swap_total) if memory.swap_total else "none"


def _load(snapshot: Snapshot) -> str:
    load = snapshot.cpu.load
    return f"load {words.NA}" if load is None else "load " + " ".join(f"{value:.2f}" for value in load)


def _meter_line(label: str, share: float | None, used: int | None, total: int | None, strip: int) -> Line:
    text = words.NA if total is None else f" {words.pair(used, total)}"
    return ((fit(label, LABEL), "muted"), (meter(share, strip), "bar"), (text, words.fullness(share)))


def _strip(label: str, drawn: str, rest: tuple[Run, ...]) -> Line:
    return ((fit(label, LABEL), "muted"), (drawn, "bar"), *rest)


def _shares(share: str, load: str) -> tuple[Run, ...]:
    return ((f" {share:>4}  ", ""), (load, ""))

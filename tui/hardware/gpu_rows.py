"""The table of GPUs: one row each, columns as data, more of them where there is room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.hardware.live.history import History
from core.hardware.snapshot import GpuState
from core.sanitize import clean
from tui.hardware import words
from tui.widgets.chart.strip import history, meter
from tui.widgets.live import Line, Run, Tone, clip, fit


@dataclass(frozen=True)
class Look:
    """What a cell may use besides the GPU itself."""

    series: History
    strip: int
    """Cells of a history or meter."""


Cell = Callable[[GpuState, Look], Sequence[Run]]


@dataclass(frozen=True)
class Column:
    """A column: its head, its width without a strip, the pane width from which it is shown, and its content."""

    head: str
    width: int
    cell: Cell
    strip: bool = False
    """A meter or history of `Look.strip` cells before the text."""
    from_width: int = 0
    align: Literal["left", "right"] = "right"


def _figure(text: str, width: int, tone: Tone | None = None) -> tuple[Run, ...]:
    return ((fit(text, width, "right"), words.known(text) if tone is None else tone),)


def _memory(gpu: GpuState, look: Look) -> Sequence[Run]:
    if gpu.unified_memory:
        return ((meter(None, look.strip), "muted"), (fit("host's", 12, "right"), ""))
    share = gpu.memory.percent
    text = words.NA if gpu.memory.total is None else f"{words.gib(gpu.memory.used)}/{words.gib(gpu.memory.total)}"
    return ((meter(share, look.strip), "bar"), (fit(text, 12, "right"), words.fullness(share, 92, 98)))


def _busy(gpu: GpuState, look: Look) -> Sequence[Run]:
    strip = history(look.series.read("utilization", gpu.index, 2 * look.strip), look.strip)
    return ((strip, "bar"), *_figure(words.percent(gpu.utilization), 5))


def _power(gpu: GpuState, look: Look) -> Sequence[Run]:  # noqa: ARG001
    if gpu.power is None and gpu.power_limit is None:
        return _figure(words.NA, 8)
    share = None if gpu.power is None or not gpu.power_limit else 100 * gpu.power / gpu.power_limit
    text = f"{words.number(gpu.power)}/{words.number(gpu.power_limit)}"
    return _figure(text, 8, words.fullness(share, 97, 102) if share is not None else "")


def _temperature(gpu: GpuState, look: Look) -> Sequence[Run]:  # noqa: ARG001
    share = None if gpu.temperature is None or not gpu.temperature_slowdown else 100 * gpu.temperature / gpu.temperature_slowdown
    text = words.number(gpu.temperature)
    return _figure(text, 4, words.fullness(share, 90, 100) if share is not None else None)


def _state(gpu: GpuState, look: Look) -> Sequence[Run]:  # noqa: ARG001
    return ((fit(*_state_words(gpu)), _state_tone(gpu)),)


def _state_words(gpu: GpuState) -> tuple[str, int]:
    if gpu.hidden:
        return "hidden", 9
    if gpu.mig_enabled:
        return "MIG", 9
    if gpu.throttle is None:
        return words.NA, 9
    held_back = [reason for reason in gpu.throttle if reason not in _HARMLESS]
    return clean((held_back or list(gpu.throttle) or ["free"])[0]), 9


def _state_tone(gpu: GpuState) -> Tone:
    if gpu.throttle is None:
        return "muted"
    return "warn" if set(gpu.throttle) - _HARMLESS else ""


_HARMLESS = frozenset({"idle", "power cap", "sync boost", "application clocks", "display clocks"})
"""Reasons for lower clocks that belong to normal work."""


COLUMNS: tuple[Column, ...] = (
    Column("#", 2, lambda gpu, _: _figure(str(gpu.index), 2)),
    Column("name", 14, lambda gpu, _: ((fit(words.short_name(gpu.name), 14), ""),), align="left"),
    Column("memory GiB", 12, _memory, strip=True, align="left"),
    Column("busy", 5, _busy, strip=True, align="left"),
    Column("bw", 4, lambda gpu, _: _figure(words.percent(gpu.memory_utilization), 4), from_width=68),
    Column("W/cap", 8, _power),
    Column("°C", 4, _temperature),
    Column("fan", 4, lambda gpu, _: _figure(words.percent(gpu.fan), 4), from_width=96),
    Column("SM MHz", 6, lambda gpu, _: _figure(words.number(gpu.clocks.sm), 6), from_width=96),
    Column("PCIe in", 9, lambda gpu, _: _figure(words.rate(gpu.pcie.rx), 9), from_width=108),
    Column("out", 9, lambda gpu, _: _figure(words.rate(gpu.pcie.tx), 9), from_width=108),
    Column("state", 9, _state, from_width=78, align="left"),
)


def head(width: int) -> Line:
    """The head of the table."""
    strip = strip_width(width)
    titles = (fit(column.head, _whole(column, strip), column.align) for column in shown(width))
    return ((" " + " ".join(titles), "muted"),)


def row(gpu: GpuState, series: History, width: int) -> Line:
    """One GPU; one that is lost keeps its row and says why."""
    if gpu.problem is not None:
        return clip((*_figure(str(gpu.index), 2), (" " + fit(words.short_name(gpu.name), 14), ""), (f" ! {clean(gpu.problem)}", "bad")), width - 1)
    look = Look(series, strip_width(width))
    runs: list[Run] = []
    for column in shown(width):
        runs += [(" ", "") if runs else ("", ""), *column.cell(gpu, look)]
    return tuple(run for run in runs if run[0])


def shown(width: int) -> list[Column]:
    """Columns of a pane of this width."""
    return [column for column in COLUMNS if width >= column.from_width]


def strip_width(width: int) -> int:
    """Cells that each strip gets: what is left after the figures, shared."""
    columns = shown(width)
    fixed = 1 + sum(column.width + 1 for column in columns)
    strips = sum(column.strip for column in columns)
    return max(min((width - fixed) // strips, 24), 3)


def _whole(column: Column, strip: int) -> int:
    return column.width + (strip if column.strip else 0)

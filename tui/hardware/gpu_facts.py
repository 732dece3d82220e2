"""Everything known about one GPU, as facts that fill one, two or three columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.hardware.live.history import History
from core.hardware.snapshot import Ecc, GpuState, MigDevice, Nvlink, Pcie
from core.sanitize import clean
from tui.hardware import words
from tui.widgets.chart.strip import history, meter
from tui.widgets.live import Line, Run, Tone, clip, fit, line_width

LABEL = 10
COLUMN = 38
"""Least width of a column of facts."""

Fact = tuple[str, tuple[Run, ...]]


def lines(gpu: GpuState, series: History, width: int, height: int) -> list[Line]:
    """A title and as many facts as fit; what the table does not show comes first when room is short."""
    if height <= 0:
        return []
    if gpu.problem is not None:
        return [title(gpu, width), clip((("! ", "bad"), (clean(gpu.problem), "bad")), width)][:height]
    across = max(width // COLUMN, 1)
    cell = width // across
    live = list(_live(gpu, series, cell - LABEL))
    still = [*_slices(gpu), *_still(gpu)]
    room = (height - 1) * across
    facts = [*live, *still] if len(live) + len(still) <= room else [*still, *live][:room]
    return [title(gpu, width), *_rows(facts, across, cell)]


def title(gpu: GpuState, width: int) -> Line:
    """Which GPU this is."""
    capability = "compute " + ".".join(map(str, gpu.compute_capability)) if gpu.compute_capability else ""
    parts = [part for part in (capability, clean(gpu.bus_id or ""), clean(gpu.uuid or "")) if part]
    return clip((("GPU " + str(gpu.index) + " ", "accent"), (clean(gpu.name or words.NA), "strong"), ("  " + "  ".join(parts), "muted")), width)


def content_height(gpu: GpuState, width: int) -> int:
    """Rows that all facts of a GPU take."""
    across = max(width // COLUMN, 1)
    return 1 + -(-(_LIVE + len(gpu.mig) + _STILL) // across)


def _rows(facts: Sequence[Fact], across: int, cell: int) -> Iterator[Line]:
    """Facts in rows, filled column by column so that related ones stand below each other."""
    down = -(-len(facts) // across)
    for row in range(down):
        runs: list[Run] = []
        for column in range(across):
            at = column * down + row
            if at < len(facts):
                runs += _padded(facts[at], cell)
        yield tuple(runs)


def _padded(fact: Fact, cell: int) -> list[Run]:
    label, runs = fact
    line = clip(((fit(label, LABEL), "muted"), *runs), cell - 1)
    return [*line, (" " * (cell - line_width(line)), "")]


_LIVE = 4
_STILL = 12


def _live(gpu: GpuState, series: History, width: int) -> Iterator[Fact]:
    def strip(metric: str, text: str, top: float = 100.0) -> tuple[Run, ...]:
        cells = max(width - len(text) - 2, 0)
        return ((history(series.read(metric, gpu.index, 2 * cells), cells, top), "bar"), (f" {text}", words.known(text)))

    yield "memory", (("in the host's memory", ""),) if gpu.unified_memory else strip("memory", words.pair(gpu.memory.used, gpu.memory.total))
    yield "busy", strip("utilization", f"{words.percent(gpu.utilization):>4}")
    yield "bandwidth", strip("memory_utilization", f"{words.percent(gpu.memory_utilization):>4}")
    yield "power", strip("power", _of(gpu.power, gpu.power_limit, "W"), gpu.power_limit or 1000.0)


def _slices(gpu: GpuState) -> Iterator[Fact]:
    yield from ((f"MIG {device.index}", _slice(device)) for device in gpu.mig)


def _slice(device: MigDevice) -> tuple[Run, ...]:
    profile = clean((device.name or words.NA).rsplit(" ", 1)[-1])
    share = device.memory.percent
    text = f"{words.gib(device.memory.used)}/{words.gib(device.memory.total)}"
    return ((fit(profile, 9), ""), (meter(share, 7), "bar"), (f" {text}", words.fullness(share)))


def _still(gpu: GpuState) -> Iterator[Fact]:
    reasons = None if gpu.throttle is None else clean(", ".join(gpu.throttle)) or "no"
    yield "throttled", _plain(reasons)
    yield "clocks", _plain(f"SM {_of(gpu.clocks.sm, gpu.clocks.sm_max, 'MHz')}")
    yield "", _plain(f"memory {_of(gpu.clocks.memory, gpu.clocks.memory_max, 'MHz')}")
    yield "heat", _heat(gpu)
    yield "fan", _plain(None if gpu.fan is None else words.percent(gpu.fan))
    yield "PCIe", _link(gpu.pcie)
    yield "", _plain(f"in {words.rate(gpu.pcie.rx)}  out {words.rate(gpu.pcie.tx)}")
    yield from _nvlink(gpu.nvlink)
    yield from _ecc(gpu.ecc)
    yield "mode", _mode(gpu)


def _plain(text: str | None) -> tuple[Run, ...]:
    nothing = text is None or (words.NA in text and not any(map(str.isdigit, text)))
    return ((text or words.NA, "muted" if nothing else ""),)


def _of(value: float | None, limit: float | None, unit: str) -> str:
    if value is None and limit is None:
        return words.NA
    return f"{words.number(value)} of {words.number(limit, ' ' + unit)}" if limit is not None else words.number(value, " " + unit)


def _heat(gpu: GpuState) -> tuple[Run, ...]:
    parts = [words.number(gpu.temperature, "°C")]
    if gpu.temperature_memory is not None:
        parts.append(f"memory {gpu.temperature_memory}°C")
    if gpu.temperature_slowdown is not None:
        parts.append(f"limit {gpu.temperature_slowdown}")
    return _plain(", ".join(parts))


def _link(pcie: Pcie) -> tuple[Run, ...]:
    if pcie.generation is None and pcie.width is None:
        return _plain(None)
    text = f"gen {words.number(pcie.generation)} x{words.number(pcie.width)}"
    if pcie.max_width is not None and pcie.width is not None and pcie.width < pcie.max_width:
        return ((text, "warn"), (f" of x{pcie.max_width}", ""))
    best = f" of gen {pcie.max_generation}" if pcie.max_generation not in (None, pcie.generation) else ""
    replays = f", {words.count(pcie.replays)} replays" if pcie.replays else ""
    return ((text + best, ""), (replays, "warn"))


def _nvlink(nvlink: Nvlink | None) -> Iterator[Fact]:
    if nvlink is None:
        yield "NVLink", _plain("none")
        return
    yield "NVLink", ((f"{nvlink.active} of {nvlink.links} links up", "warn" if nvlink.active < nvlink.links else ""),)
    yield "", _plain(f"in {words.rate(nvlink.rx)}  out {words.rate(nvlink.tx)}")


def _ecc(ecc: Ecc) -> Iterator[Fact]:
    if not ecc.enabled:
        yield "ECC", _plain(None if ecc.enabled is None else "off")
        return
    yield "ECC", _errors("corrected", ecc.corrected_volatile, ecc.uncorrected_volatile, "bad")
    yield "", _errors("lifetime", ecc.corrected_aggregate, ecc.uncorrected_aggregate, "warn")


def _errors(word: str, corrected: int | None, uncorrected: int | None, tone: Tone) -> tuple[Run, ...]:
    return ((f"{word} {words.count(corrected)}, ", ""), (f"not {words.count(uncorrected)}", tone if uncorrected else ""))


def _mode(gpu: GpuState) -> tuple[Run, ...]:
    parts = [gpu.performance_state or words.NA]
    if gpu.persistence is not None:
        parts.append(f"persistence {'on' if gpu.persistence else 'off'}")
    if gpu.compute_mode not in (None, "default"):
        parts.append(clean(str(gpu.compute_mode)))
    if gpu.virtualization not in (None, "none"):
        parts.append(clean(str(gpu.virtualization)))
    return _plain(", ".join(parts))

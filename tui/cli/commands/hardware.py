"""`llmopt hardware`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from core.hardware.live.sampler import Sampler
from core.hardware.snapshot import DiskState, GpuState, MemoryState, ProcessState, Snapshot
from core.measure.units import size
from core.models.find.hub_cache import cache_folder
from core.runs.state import store
from core.runs.state.home import runs_folder
from tui.cli.printing.output import print_document, print_facts, print_table

_BETWEEN = 0.25
_HOME = "\x1b[H\x1b[J"
_NONE = "n/a"


def hardware(
    *,
    watch: Annotated[bool, Parameter(help="Refresh until ctrl+c", negative="", show_default=False)] = False,
    interval: Annotated[float, Parameter(help="Refresh interval in seconds, at least 0.2")] = 1.0,
    json: Annotated[bool, Parameter(help="Print one JSON document; with --watch, one per line", negative="", show_default=False)] = False,
) -> int:
    """Show GPUs, CPUs, memory and disks of this machine; n/a: not reported by the driver."""
    sampler = Sampler(ours=store.running, folders={"runs": runs_folder(), "models": cache_folder(), "working folder": Path.cwd()})
    sampler.sample()
    # Loads are counted between two samples.
    time.sleep(_BETWEEN)
    try:
        while True:
            snapshot = sampler.sample()
            if watch and not json and sys.stdout.isatty():
                sys.stdout.write(_HOME)
            if json:
                print_document("hardware", snapshot.to_json(), indent=None if watch else 2)
            else:
                print_snapshot(snapshot)
            sys.stdout.flush()
            if not watch:
                return 0
            time.sleep(max(interval, 0.2))
    except KeyboardInterrupt:
        if watch:
            return 130
        raise


def print_snapshot(snapshot: Snapshot) -> None:
    """One moment of the machine as tables."""
    if snapshot.gpus:
        print_table([_gpu(gpu) for gpu in snapshot.gpus], _GPU_HEADERS, right=range(2, len(_GPU_HEADERS)), shrink=(1,))
        print()
    print_facts(list(_facts(snapshot)))
    if snapshot.processes:
        print()
        headers = ("pid", "gpu", "memory", "owner", "run", "command")
        print_table([_process(process) for process in snapshot.processes], headers, right=(0, 1, 2), shrink=(5, 4))


def _facts(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    cpu, memory, driver = snapshot.cpu, snapshot.memory, snapshot.driver
    for gpu in snapshot.gpus:
        yield from ((f"GPU {gpu.index} {name}", value) for name, value in _details(gpu) if value)
    if not snapshot.gpus:
        yield "GPU", snapshot.gpu_problem or "none"
    if driver is not None:
        yield "driver", f"{_text(driver.version)}, CUDA {_text(driver.cuda)}"
    yield "host", snapshot.host
    yield "CPU", f"{_text(cpu.name)}, {_text(cpu.physical)} cores, {_text(cpu.logical)} threads, {_share(cpu.percent)} busy"
    yield "load", "  ".join(f"{value:.2f}" for value in cpu.load) if cpu.load is not None else _NONE
    yield "memory", _memory(memory)
    yield "swap", f"{size(memory.swap_used)} of {size(memory.swap_total)}" if memory.swap_total else "none"
    yield from ((f"disk, {disk.label}", _disk(disk)) for disk in snapshot.disks)


_GPU_HEADERS = ("gpu", "name", "memory", "of", "busy", "mem busy", "temp", "power", "cap")


def _gpu(gpu: GpuState) -> tuple[str, ...]:
    memory = gpu.memory
    return (
        str(gpu.index),
        _text(gpu.name),
        "shared" if gpu.unified_memory else _size(memory.used),
        _size(memory.total),
        _share(gpu.utilization),
        _share(gpu.memory_utilization),
        _unit(gpu.temperature, "°C"),
        _unit(gpu.power, "W"),
        _unit(gpu.power_limit, "W"),
    )


def _details(gpu: GpuState) -> list[tuple[str, str]]:
    clocks, pcie, ecc = gpu.clocks, gpu.pcie, gpu.ecc
    return [
        ("problem", gpu.problem or ""),
        ("hidden", "by CUDA_VISIBLE_DEVICES" if gpu.hidden else ""),
        ("clocks", f"{_unit(clocks.sm, 'MHz')} of {_unit(clocks.sm_max, 'MHz')}, memory {_unit(clocks.memory, 'MHz')}"),
        ("fan", _unit(gpu.fan, "%")),
        ("PCIe", f"generation {_text(pcie.generation)} x{_text(pcie.width)}, sends {_rate(pcie.tx)}, receives {_rate(pcie.rx)}"),
        (
            "ECC errors",
            f"{_text(ecc.corrected_volatile)} corrected, {_text(ecc.uncorrected_volatile)} not" if ecc.enabled is not False else "ECC is off",
        ),
        ("slowed by", _NONE if gpu.throttle is None else ", ".join(gpu.throttle)),
        *((f"MIG {slice_.index}", f"{_text(slice_.name)}, {_size(slice_.memory.used)} of {_size(slice_.memory.total)}") for slice_ in gpu.mig),
    ]


def _memory(memory: MemoryState) -> str:
    limit = f", container limit {size(memory.limit)}" if memory.limit is not None else ""
    return f"{size(memory.used)} of {size(memory.total)} used, {size(memory.available)} available{limit}"


def _disk(disk: DiskState) -> str:
    if disk.free is None or disk.total is None:
        return f"{_NONE} ({disk.path})"
    return f"{size(disk.free)} free of {size(disk.total)} ({disk.path})"


def _process(process: ProcessState) -> tuple[str, ...]:
    gpu = _NONE if process.gpu is None else str(process.gpu)
    return (str(process.pid), gpu, _size(process.gpu_memory), _text(process.owner), process.run or "", _text(process.command))


def _text(value: object) -> str:
    return _NONE if value is None else str(value)


def _size(value: float | None) -> str:
    return _NONE if value is None else size(value)


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.0f} %"


def _unit(value: float | None, unit: str) -> str:
    return _NONE if value is None else f"{value:.0f} {unit}"


def _rate(value: float | None) -> str:
    return _NONE if value is None else f"{size(value)}/s"

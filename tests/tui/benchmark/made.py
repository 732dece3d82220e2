"""Runs on disk as a worker leaves them. Their results and events were measured: bundled:base on a busy machine with two cores, and a server at an
address that was made to fail every seventh request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from core.benchmark.compare.recommend import recommend
from core.benchmark.compare.result import BenchmarkCompareResult, LeftOut
from core.benchmark.compare.spec import BenchmarkCompareSpec
from core.benchmark.events import ErrorsEvent, SecondEvent
from core.benchmark.machine.events import ROWS
from core.benchmark.machine.result import BenchmarkMachineResult
from core.benchmark.machine.spec import BenchmarkMachineSpec
from core.benchmark.result import BenchmarkResult
from core.benchmark.serve.events import ReadyEvent
from core.benchmark.spec import BenchmarkSpec
from core.engine import ServeSpec
from core.event import DetailEvent
from core.result import Result
from core.runs.state import events
from core.runs.state.files import write_json
from core.runs.state.state import Status
from core.runs.state.store import Run
from core.spec import Spec
from tests.tui.fakes import NOW
from tests.tui.quantize.made import run_of, say

__all__ = ["run_of", "say"]

DATA = Path(__file__).parent / "data"
EVENTS: Mapping[str, type[DetailEvent]] = {**{each.kind: each for each in (SecondEvent, ErrorsEvent, ReadyEvent)}, **ROWS}
MODEL = {"model": "bundled:base"}
URL = "http://127.0.0.1:18765"
LOAD = {"requests": 12, "concurrency": 2, "threads": 1}
SPECS: dict[str, BenchmarkSpec] = {
    "failing": BenchmarkSpec(
        model=URL,
        load="poisson",
        rate=12,
        requests=240,
        output_tokens=32,
        objectives=("ttft<300ms", "itl<40ms"),
        thresholds=("ttft.p95 < 500ms", "throughput > 1000", "errors < 1%"),
        price=2.5,
    ),
    "sweep": BenchmarkSpec(**MODEL, load="sweep", levels=(1, 2, 4, 8, 16), requests=16, output_tokens=24, threads=1),
    "transformers": BenchmarkSpec(**MODEL, **LOAD, engine="transformers"),
    "runtime": BenchmarkSpec(**MODEL, **LOAD),
}
"""The oldest first."""
SERVER = ServeSpec(**MODEL, engine="runtime", threads=1)


MACHINE = BenchmarkMachineSpec(**MODEL, sizes=(256, 512, 1024), batches=(1, 64), threads=1)


@cache
def result(name: str) -> BenchmarkResult:
    """A result as it was written, but for most of its raw samples."""
    return BenchmarkResult.model_validate_json((DATA / f"{name}.json").read_bytes())


@cache
def machine_result() -> BenchmarkMachineResult:
    """The same of a measurement of the machine."""
    return BenchmarkMachineResult.model_validate_json((DATA / "machine.json").read_bytes())


def measured(name: str) -> dict[str, Any]:
    """A result as a document that a test may change."""
    return result(name).model_dump(mode="json")


def told(name: str, last: float) -> list[events.Event]:
    """Events as they were written, moved so that the last one was heard at `last`."""
    lines = [json.loads(line) for line in (DATA / f"{name}_events.jsonl").read_text().splitlines()]
    found = [events.parse(json.dumps(line | {"t": last + line["t"] - lines[-1]["t"]}).encode()) for line in lines]
    assert all(event is not None for event in found)
    assert all(EVENTS[event.kind].parse(event.data) is not None for event in found if isinstance(event, events.Detail))
    return [event for event in found if event is not None]


def write_result(run: Run, found: Result) -> None:
    """Leave a result as a worker does."""
    write_json(run.path / "result.json", found.model_copy(update={"run": run.id}).model_dump(mode="json"))


def done(name: str, number: int = 0, **changes: Any) -> Run:
    """A finished load with its result and events."""
    order = list(SPECS).index(name) + 1
    run = run_of(SPECS[name], f"20260101-11{order}{number}00-benchmark-0a0{order}", "done", created=NOW - 3600 + 60 * order, seconds=42.0)
    write_result(run, BenchmarkResult.model_validate(measured(name) | changes))
    say(run, *told(name, NOW - 3000))
    return run


def comparison(run_id: str = "20260101-115000-benchmark-compare-0c01") -> Run:
    """Two measured targets as the targets of one comparison, recommended by this program, and one that could not start."""
    parts = {name: result(name) for name in ("transformers", "runtime")}
    entries = tuple(part.entries[0].model_copy(update={"name": label}) for label, part in parts.items())
    samples = {label: next(iter(part.samples.values())) for label, part in parts.items()}
    found = BenchmarkCompareResult(
        model="bundled:base",
        entries=entries,
        samples=samples,
        left_out=(LeftOut(target="vllm", reason="vLLM is not installed: make an environment with `pip install vllm`"),),
        recommendations=recommend(entries, samples),
        machine=parts["runtime"].machine,
        load=parts["runtime"].load,
    )
    run = run_of(BenchmarkCompareSpec(**MODEL, **LOAD), run_id, "done", created=NOW - 600, seconds=80)
    write_result(run, found)
    return run


def machine(run_id: str = "20260101-115500-benchmark-machine-0d01", created: float = NOW - 300) -> Run:
    """A finished measurement of the machine."""
    run = run_of(MACHINE, run_id, "done", created=created, seconds=2.5)
    write_result(run, machine_result())
    say(run, *told("machine", created + 2))
    return run


def going(spec: Spec, run_id: str, status: Status = "running") -> Run:
    """A run in progress."""
    return run_of(spec, run_id, status, created=NOW - 60)


def everything() -> None:
    """A finished load of each kind."""
    for name in SPECS:
        done(name)


def server(run_id: str = "20260101-115000-serve-0b01", status: Status = "running", created: float = NOW - 600) -> Run:
    """A server that answers, or was stopped."""
    run = run_of(SERVER, run_id, status, created=created, seconds=400)
    say(run, *told("server", NOW - 1))
    return run

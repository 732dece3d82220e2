"""Runs on disk as a worker leaves them. Their results and events were measured with bundled:base; times were taken on a busy machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from core.event import DetailEvent
from core.kvcache.pages.events import PageEvent
from core.kvcache.pages.result import PagesResult
from core.kvcache.pages.schedule.events import ScheduleEvent
from core.kvcache.pages.spec import PagesSpec
from core.kvcache.result import KvCacheResult, KvRow
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.result import KvCacheWhyResult
from core.kvcache.why.spec import KvCacheWhySpec
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
MODEL = {"model": "bundled:base"}


EVENTS: tuple[type[DetailEvent], ...] = (PageEvent, ScheduleEvent)
R = TypeVar("R", bound=Result)


def measured(name: str, kind: type[R]) -> R:
    """A result as it was written. A file that does not hold all that its model requires is refused."""
    return kind.model_validate_json((DATA / f"{name}.json").read_bytes())


def schemes() -> KvCacheResult:
    """A comparison of 13 schemes."""
    return measured("schemes", KvCacheResult)


def why() -> KvCacheWhyResult:
    """With and without a cache."""
    return measured("why", KvCacheWhyResult)


def pages() -> PagesResult:
    """A decode through pages."""
    return measured("pages", PagesResult)


def simulation() -> PagesResult:
    """A simulated scheduler."""
    return measured("simulation", PagesResult)


def told(name: str, begin: float, every: float = 1.0) -> list[events.Event]:
    """Events as they were written, at other times."""
    lines = [json.loads(line) for line in (DATA / f"{name}_events.jsonl").read_text().splitlines()]
    found = [events.parse(json.dumps(line | {"t": begin + every * at}).encode()) for at, line in enumerate(lines)]
    assert all(event is not None for event in found)
    for event in found:
        if isinstance(event, events.Detail):
            assert any(kind.parse(event.data) for kind in EVENTS if kind.kind == event.kind), event.kind
    return [event for event in found if event is not None]


def finish(run: Run, result: Result) -> Run:
    """Give a run its result."""
    write_json(run.path / "result.json", result.model_copy(update={"run": run.id, "artifacts": ()}).model_dump(mode="json"))
    return run


def done(spec: Spec, run_id: str, result: Result, *, created: float = NOW - 3600, seconds: float = 42.0) -> Run:
    """A finished run with a result."""
    return finish(run_of(spec, run_id, "done", created=created, seconds=seconds), result)


def going(spec: Spec, run_id: str, status: Status = "running") -> Run:
    """A run in progress."""
    return run_of(spec, run_id, status, created=NOW - 60)


def schemes_done(run_id: str = "20260101-110000-kv-cache-0a01", **changes: Any) -> Run:
    """A comparison of 13 schemes, and one that was refused."""
    result = schemes()
    rows = (*result.rows, refused(result.rows[0]))
    return done(KvCacheSpec(**MODEL), run_id, result.model_copy(update={"rows": rows} | changes), seconds=451)


def refused(like: KvRow) -> KvRow:
    """The row of a scheme that needs a GPU, on a machine without one."""
    reason = "offload moves keys and values between GPU and main memory, but no GPU is in use: choose another scheme"
    return KvRow(
        name="offload",
        scheme="offload",
        title="offloaded",
        heads=like.heads,
        own_heads=like.own_heads,
        refused=reason,
        lossless=True,
        evicts=False,
    )


def why_done() -> Run:
    """With and without a cache."""
    return done(KvCacheWhySpec(**MODEL), "20260101-111000-kv-cache-why-0b01", why(), seconds=271)


def pages_done() -> Run:
    """A decode through pages that is over, with the end of its events."""
    run = done(PagesSpec(**MODEL), "20260101-112000-kv-cache-pages-0c01", pages(), seconds=17)
    said = told("pages", NOW - 2400)
    last = said[-1]
    assert isinstance(last, events.Detail)
    say(run, *said, events.Detail(last.t + 1, last.kind, last.data | {"phase": "done"}))
    return run


def simulation_done() -> Run:
    """A simulation that is over."""
    run = done(PagesSpec(**MODEL, mode="simulate"), "20260101-113000-kv-cache-pages-0d01", simulation(), seconds=4)
    say(run, *told("simulation", NOW - 1800))
    return run


def everything() -> None:
    """One run of each kind."""
    schemes_done()
    why_done()
    pages_done()
    simulation_done()

"""Runs on disk as a worker leaves them; figures and tokens were measured with the bundled pair (`data/`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from core.event import DetailEvent
from core.result import Result
from core.runs.state import events
from core.runs.state.files import write_json
from core.runs.state.state import Status
from core.runs.state.store import Run
from core.speculate.events import PromptEvent, RoundEvent
from core.speculate.lossless.result import SpeculateTestResult
from core.speculate.lossless.spec import SpeculateTestSpec
from core.speculate.result import SpeculateResult
from core.speculate.spec import SpeculateSpec
from tests.tui.fakes import NOW
from tests.tui.quantize.made import progressed, run_of, say

__all__ = ["progressed", "run_of", "say"]

DATA = Path(__file__).parent / "data"
PAIR, LOOKUP = "20260101-113000-speculate-c0de", "20260101-112000-speculate-feed"
TEST = "20260101-114000-speculate-test-7e57"
RUNNING = "20260101-115940-speculate-4f1d"


def spec(**values: Any) -> SpeculateSpec:
    return SpeculateSpec.model_validate({"model": "bundled:base"} | values)


EVENTS: tuple[type[DetailEvent], ...] = (PromptEvent, RoundEvent)
R = TypeVar("R", bound=Result)


def measured(name: str, kind: type[R], **changes: Any) -> R:
    """A result that a run of the bundled pair left. A file that does not hold all that its model requires is refused, so are wrong changes."""
    found = kind.model_validate_json((DATA / f"{name}.json").read_bytes())
    return kind.model_validate(found.model_dump() | changes)


def finish(run: Run, result: Result | Mapping[str, object]) -> Run:
    """Give a run its result, or one that is none."""
    document = result.model_dump(mode="json") if isinstance(result, Result) else result
    write_json(run.path / "result.json", {**document, "run": run.id, "artifacts": []})
    return run


def pair(run_id: str = PAIR, **changes: Any) -> Run:
    """Draft model, three gammas, two temperatures."""
    result = measured("pair", SpeculateResult, **changes)
    return finish(run_of(spec(gamma=(2, 4, 8), temperature=(0.0, 0.8)), run_id, "done", created=NOW - 1800, seconds=62.0), result)


def lookup(run_id: str = LOOKUP, **row: Any) -> Run:
    """N-grams on an editing task; `row` changes its only setting."""
    found = measured("lookup", SpeculateResult)
    changes = {name: value for name, value in row.items() if name in SpeculateResult.model_fields}
    result = measured("lookup", SpeculateResult, rows=[found.rows[0].model_dump() | row], **changes)
    return finish(run_of(spec(drafter="lookup", task="edit"), run_id, "done", created=NOW - 2400, seconds=21.0), result)


def losslessness(run_id: str = TEST, **changes: Any) -> Run:
    """A test of losslessness with the draft model."""
    result = measured("lossless", SpeculateTestResult, **changes)
    return finish(run_of(SpeculateTestSpec(model="bundled:base"), run_id, "done", created=NOW - 1200, seconds=24.0), result)


def said(upto: int | None = None) -> list[events.Event]:
    """What a run said: settings that were done, a text, its rounds; of the rounds the first `upto`."""
    heard = [event for line in (DATA / "rounds.jsonl").read_bytes().splitlines() if (event := events.parse(line)) is not None]
    for detail in heard:
        if isinstance(detail, events.Detail):
            assert any(kind.parse(detail.data) for kind in EVENTS if kind.kind == detail.kind), detail.kind
    rounds = [event for event in heard if isinstance(event, events.Detail) and event.kind == "round"]
    return [event for event in heard if event not in rounds[len(rounds) if upto is None else upto :]]


def going(run_id: str = RUNNING, upto: int | None = None, status: Status = "running", **state: Any) -> Run:
    """A run in the middle of a text."""
    run = run_of(spec(gamma=(2, 4, 8), temperature=(0.0, 0.8)), run_id, status, created=NOW - 20, **state)
    say(run, events.Progress(NOW - 18, 0, 72, "gamma 2, temperature 0"), *said(upto), events.Progress(NOW - 1, 30, 72, "gamma 4, temperature 0.8"))
    return run

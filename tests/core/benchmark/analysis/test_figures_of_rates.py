"""The rate that a schedule has, and the rate at which its requests were really sent."""

from __future__ import annotations

import pytest

from core.benchmark.analysis.figures import level_of
from core.benchmark.analysis.sweep import highest_meeting, rate_reached
from core.benchmark.analysis.warnings import warnings_of
from core.benchmark.client.load import LoadResult
from core.benchmark.client.outcome import Outcome, Piece, Usage
from core.benchmark.result import BenchmarkEntry, Level
from core.benchmark.spec import BenchmarkSpec
from core.benchmark.workload.lengths import of_lengths
from core.benchmark.workload.prompts import Prompt
from core.benchmark.workload.schedule import poisson
from tests.core.benchmark.making import entry, samples

MS = 1_000_000


def level_with(due: list[float], late: list[float], level: float | None = None) -> Level:
    """Requests that were due at these seconds, and sent so many seconds late."""
    outcomes = []
    for index, (at, more) in enumerate(zip(due, late, strict=True)):
        first, sent = round(at * 1e9), round((at + more) * 1e9)
        outcomes.append(
            Outcome(index, "done", first, free=sent, sent=sent, ended=sent + 9 * MS, pieces=[Piece(sent + 5 * MS, "x")], usage=Usage(8, 1))
        )
    return level_of(LoadResult(0, outcomes[-1].ended or 0, outcomes), {}, level)


def entry_with(level: Level) -> BenchmarkEntry:
    return entry(samples(0), levels=(level,))


def test_a_schedule_that_was_kept_is_no_rate_that_was_missed() -> None:
    """Twelve requests of a random schedule may have a rate far from its mean: that is not the client's."""
    due = next(times for seed in range(100) if (times := poisson(4.0, 12, seed).tolist())[-1] > 11 / 4.0 * 1.3)
    level = level_with(due, [0.0] * 12, 4.0)
    assert level.achieved_rate == pytest.approx(level.scheduled_rate)
    assert (level.achieved_rate or 0.0) < 0.8 * 4.0
    assert rate_reached(level)
    spec = BenchmarkSpec(model="http://127.0.0.1:1", load="poisson", rate=4.0)
    assert not [warning for warning in warnings_of(spec, entry_with(level), []) if "not reached" in warning]
    swept = BenchmarkSpec(model="http://127.0.0.1:1", load="sweep", sweep="rate", objectives=("ttft < 1s",))
    assert highest_meeting([level.model_copy(update={"meets_objectives": True})], swept) == 4.0


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ("constant", "the rate of 10 requests per second was not reached: 5 were sent"),
        ("poisson", "the rate of 10 requests per second was not reached: 5 were sent, of 10 as they were drawn"),
        ("trace", "the schedule of the trace was not kept: it has 10 requests per second, 5 were sent"),
        ("ramp", "the schedule of the ramp was not kept: it has 10 requests per second, 5 were sent"),
    ],
)
def test_a_rate_that_was_missed_is_told(load: str, words: str) -> None:
    due = [index / 10 for index in range(20)]
    level = level_with(due, due)
    spec = BenchmarkSpec.model_validate({"model": "http://127.0.0.1:1", "load": load, "rate": 10.0, "trace": "t.jsonl", "duration": 9.0})
    assert words in warnings_of(spec, entry_with(level), [])


def test_requests_that_are_all_due_at_once_have_no_rate() -> None:
    assert level_with([0.0] * 3, [0.0, 0.1, 0.2]).scheduled_rate is None


@pytest.mark.parametrize(("counted", "told"), [(110, False), (160, False), (500, True), (40, True), (None, False)])
def test_the_servers_count_of_a_prompt_is_held_against_what_was_meant(counted: int | None, told: bool) -> None:
    outcome = Outcome(0, "done", 0, usage=Usage(counted, 4))
    for prompt in (Prompt("x" * 400, 8, None), Prompt("x", 8, 100)):
        assert bool(list(of_lengths([prompt], [outcome]))) is told
    assert not list(of_lengths([], [outcome]))

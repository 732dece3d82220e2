"""The window of loads with times of their own, against a server whose answers take a known time."""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np
import pytest

from core.benchmark.analysis.arrivals_window import arrivals_window
from core.benchmark.analysis.figures import level_of
from core.benchmark.analysis.timeline import measured_in, window_of
from core.benchmark.client.load import LoadResult
from core.benchmark.client.outcome import Outcome, Piece, Usage
from core.benchmark.metrics.base import Window
from core.benchmark.metrics.throughput import RequestThroughput, TokenThroughput
from core.benchmark.workload import schedule

SECOND = 1_000_000_000
TOKENS = 10


def answered(times: np.ndarray, takes: float, slots: int | None = None) -> LoadResult:
    """Every answer takes so many seconds from sending; where there are slots, a request waits for a free one."""
    free = [0.0] * (slots or 0)
    outcomes = []
    for index, due in enumerate(times.tolist()):
        sent = due if slots is None else max(due, heapq.heappop(free))
        if slots is not None:
            heapq.heappush(free, sent + takes)
        pieces = [Piece(round((sent + takes * part / TOKENS) * SECOND), "x") for part in range(1, TOKENS + 1)]
        outcomes.append(Outcome(index, "done", round(due * SECOND), sent=round(sent * SECOND), pieces=pieces, usage=Usage(5, TOKENS)))
    return LoadResult(0, outcomes[-1].pieces[-1].t, outcomes, paced=True)


def rates(carried: LoadResult) -> tuple[float, float]:
    """Requests and tokens a second."""
    window, _ = window_of(carried)
    found = [metric.of(carried.outcomes, window) for metric in (RequestThroughput(), TokenThroughput())]
    assert None not in found
    return found[0] or 0.0, found[1] or 0.0


@pytest.mark.parametrize(("burstiness", "bias"), [(0.2, 0.02), (1.0, 0.03), (8.0, 0.13)])
def test_the_rate_of_short_random_loads_is_near_the_rate_that_came(burstiness: float, bias: float) -> None:
    """A window that is chosen by what is under way begins and ends with crowds, and is off by about twice as much."""
    errors = []
    for seed in range(100):
        times = schedule.gamma(20.0, 60, burstiness, seed)
        carried, came = answered(times, 0.2), 59 / times[-1]
        errors.append([rates(replace(carried, paced=paced))[1] / TOKENS / came - 1 for paced in (True, False)])
    of_schedule, of_crowds = np.asarray(errors).T
    assert abs(of_schedule.mean()) < bias
    assert np.sqrt((of_schedule**2).mean()) < 0.7 * np.sqrt((of_crowds**2).mean())


def test_beyond_its_capacity_the_server_shows_its_capacity_and_the_wait_belongs_to_the_latencies() -> None:
    carried = answered(schedule.constant(20.0, 200), 0.2, slots=2)
    requests, tokens = rates(carried)
    assert requests == pytest.approx(10, rel=0.05)
    assert tokens == pytest.approx(100, rel=0.05)
    found = level_of(carried, {}).metrics["ttft_ms"]
    assert found.most == pytest.approx(1000 * (carried.outcomes[-1].pieces[0].t / SECOND - 199 / 20), rel=1e-6), (
        "the last was due in the window, and waited"
    )
    assert found.n >= 195


def test_the_beginning_does_not_count_and_the_end_of_the_schedule_ends_it() -> None:
    carried = answered(schedule.constant(10.0, 50), 0.5)
    window, words = window_of(carried)
    assert window == Window(SECOND // 2, round(4.9 * SECOND) + 1)
    assert "0.5 s" in words
    assert [outcome.index for outcome in measured_in(carried, window)] == list(range(5, 50))


def test_a_load_shorter_than_two_answers_is_measured_whole() -> None:
    carried = answered(schedule.constant(10.0, 20), 5.0)
    assert arrivals_window(carried.outcomes, 0, 7 * SECOND) == (Window(0, 7 * SECOND), "the whole load")
    assert arrivals_window(carried.outcomes[:2], 0, 7 * SECOND)[1] == "the whole load"


def test_a_pause_and_the_time_of_one_answer_after_it_are_in_no_rate() -> None:
    times = schedule.constant(10.0, 100)
    times = np.where(times < 5, times, times + 20)
    carried = answered(times, 0.5)
    paused = LoadResult(0, carried.end, carried.outcomes, pauses=((5 * SECOND, 25 * SECOND),), paced=True)
    assert window_of(paused)[0].without == ((5 * SECOND, round(25.5 * SECOND)),)
    assert rates(paused)[0] == pytest.approx(10, rel=0.06)
    assert rates(carried)[0] < 4


def test_a_load_that_was_ended_is_measured_to_its_end() -> None:
    """Two slots answer ten a second, twenty come: after ten seconds half of those that were due wait still, and all of the time was measured."""
    carried = answered(schedule.constant(20.0, 400), 0.2, slots=2)
    answers = [outcome for outcome in carried.outcomes if (outcome.sent or 0) < 10 * SECOND]
    unsent = [Outcome(outcome.index, "unsent", outcome.due) for outcome in carried.outcomes[len(answers) :]]
    ended = LoadResult(0, answers[-1].pieces[-1].t, [*answers, *unsent], paced=True)
    window, _ = window_of(ended)
    assert window.seconds == pytest.approx(10, rel=0.05)
    assert rates(ended)[0] == pytest.approx(10, rel=0.05)

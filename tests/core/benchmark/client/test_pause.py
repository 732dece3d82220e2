"""A load that is paused sends nothing new, goes on where it was, and counts no time in which it waited."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.benchmark.analysis.figures import level_of
from core.benchmark.analysis.steady import steady_window
from core.benchmark.client.load import Load, LoadResult, run_load
from core.benchmark.client.outcome import Outcome, Piece, Usage
from core.benchmark.client.request import Request, body_of
from core.benchmark.metrics.base import Window
from core.engine import Endpoint
from tests.core.benchmark.scripted import ScriptedServer, scripted_server

MS = 1_000_000
SECOND = 1000 * MS


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as made:
        yield made


def answer(index: int, sent: int, seconds: float, status: str = "done") -> Outcome:
    """Ten tokens, evenly."""
    pieces = [Piece(sent + round(step * seconds / 10 * SECOND), "x") for step in range(1, 11)]
    usage = Usage(completion=10 if status == "done" else None)
    return Outcome(index, status, sent, free=sent, sent=sent, ended=pieces[-1].t, pieces=pieces, usage=usage)  # type: ignore[arg-type]


def users(count: int, first: int, last: int, seconds: float = 1.0) -> list[tuple[int, float]]:
    """Requests of users that ask again as soon as they are answered, each begun a part of a request after the other."""
    step = round(seconds * SECOND)
    return [(start, seconds) for user in range(count) for start in range(first + user * step // count, last, step)]


def outcomes(spans: list[tuple[int, float]]) -> list[Outcome]:
    return [answer(index, sent, seconds) for index, (sent, seconds) in enumerate(sorted(spans))]


def within(seconds: float, *, of: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not of():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@given(st.lists(st.integers(0, 1000), min_size=0, max_size=8, unique=True).map(sorted), st.integers(0, 1000), st.integers(0, 1000))
def test_a_window_is_as_long_as_the_moments_it_holds(edges: list[int], one: int, other: int) -> None:
    spans = tuple(zip(edges[::2], edges[1::2], strict=False))
    window = Window(min(one, other), max(one, other), spans)
    assert round(window.seconds * 1e9) == sum(window.holds(t) for t in range(1000))


def test_a_pause_is_in_no_rate() -> None:
    """Eight users; after 10 s they wait for 30 s, what is under way ends in them, and they go on as if nothing had been."""
    unpaused = outcomes(users(8, 0, 20 * SECOND))
    paused = outcomes(users(8, 0, 10 * SECOND) + users(8, 40 * SECOND, 50 * SECOND))
    plain = level_of(LoadResult(0, 21 * SECOND, unpaused), {})
    level = level_of(LoadResult(0, 51 * SECOND, paused, pauses=((10 * SECOND, 40 * SECOND),)), {})
    assert level.throughput_tokens_per_second == pytest.approx(plain.throughput_tokens_per_second, rel=0.02)
    assert level.throughput_requests_per_second == pytest.approx(plain.throughput_requests_per_second, rel=0.05)
    assert level.seconds == pytest.approx(18, abs=1.5)
    assert [(pause.at, pause.seconds) for pause in level.pauses] == [(10.0, 30.0)]
    assert level.window.endswith(", but for 1 pause")
    untold = level_of(LoadResult(0, 51 * SECOND, paused), {})
    assert (untold.throughput_tokens_per_second or 0) < 0.5 * (level.throughput_tokens_per_second or 0), "what it would be otherwise"


def test_the_rate_that_was_sent_is_one_without_pauses() -> None:
    sent = [step * 100 * MS for step in range(10)] + [9 * SECOND + step * 100 * MS for step in range(10, 20)]
    found = [answer(index, at, 0.05) for index, at in enumerate(sent)]
    carried = LoadResult(0, 12 * SECOND, found, pauses=((950 * MS, 9950 * MS),))
    assert level_of(carried, {}).achieved_rate == pytest.approx(10, rel=0.01)


def test_the_time_in_which_a_load_becomes_full_again_belongs_to_the_pause() -> None:
    spans = users(4, 0, 10 * SECOND) + [(start + 20 * SECOND, length) for start, length in users(4, 0, 10 * SECOND, 2.0)]
    window, _ = steady_window(outcomes(spans), 0, 31 * SECOND, ((10 * SECOND, 20 * SECOND),))
    (hole,) = window.without
    assert hole == (10 * SECOND, pytest.approx(20 * SECOND + 1.5 * SECOND))


def test_a_load_that_was_cut_off_is_measured_to_where_the_cut_ones_began() -> None:
    whole = outcomes(users(8, 0, 9 * SECOND))
    cut = [answer(len(whole) + user, 9 * SECOND + user * SECOND // 8, 0.7, "cancelled") for user in range(8)]
    level = level_of(LoadResult(0, 10 * SECOND, whole + cut), {})
    assert level.throughput_tokens_per_second == pytest.approx(80, rel=0.02)
    assert level.window.endswith("to the first truncated request")
    assert (level.requests.scheduled, level.requests.unsent, level.requests.cancelled) == (len(whole) + 8, 8, 8)


def test_one_that_was_under_way_from_the_beginning_does_not_cost_the_whole_window() -> None:
    found = outcomes(users(4, 0, 9 * SECOND))
    slow = answer(len(found), 1 * SECOND, 8.0, "cancelled")
    level = level_of(LoadResult(0, 10 * SECOND, [*found, slow]), {})
    assert level.seconds > 7.5
    assert "count towards no rate" in level.window


@pytest.mark.parametrize("closed", [True, False])
def test_nothing_new_is_sent_in_a_pause_and_the_schedule_stands_still(server: ScriptedServer, closed: bool) -> None:
    target = Endpoint(server.url, "m")
    gap = 0 if closed else 50 * MS
    requests = [Request(index, index * gap, body_of(target, f"slow {index}", 8)) for index in range(24)]
    wish = threading.Event()
    looks: list[tuple[float, int, bool]] = []
    counts: list[int] = []

    def person() -> None:
        within(10, of=lambda: len(server.requests) >= 8)
        wish.set()
        within(10, of=lambda: bool(looks) and looks[-1][1:] == (0, True))
        counts.append(len(server.requests))
        time.sleep(0.4)
        counts.append(len(server.requests))
        wish.clear()

    thread = threading.Thread(target=person)
    thread.start()
    load = Load(target, requests, concurrency=4 if closed else None, closed=closed, workers=2)
    carried = run_load(load, paused=wish.is_set, on_look=lambda under_way, paused: looks.append((time.monotonic(), under_way, paused)))
    thread.join()
    assert counts[0] == counts[1] < 24
    ((first, last),) = carried.pauses
    assert last - first > 0.4 * SECOND
    assert Counter(outcome.status for outcome in carried.outcomes) == {"done": 24}
    sent = [outcome.sent or 0 for outcome in carried.outcomes]
    assert not [at for at in sent if first + 100 * MS < at < last]
    assert max(under_way for _, under_way, _ in looks) >= 3
    waited = [(outcome.sent or 0) - outcome.due for outcome in carried.outcomes]
    assert max(waited) < 0.3 * SECOND, "no request waits in the figures for as long as the pause took"
    if not closed:
        later = [outcome.due - carried.begin - outcome.index * gap for outcome in carried.outcomes]
        assert sorted(set(later)) == [0, last - first]


def test_a_load_that_is_paused_before_it_begins_waits(server: ScriptedServer) -> None:
    target = Endpoint(server.url, "m")
    until = time.monotonic() + 1.2
    carried = run_load(Load(target, [Request(0, 0, body_of(target, "ok", 8))]), paused=lambda: time.monotonic() < until)
    assert carried.begin / SECOND > until
    assert (carried.outcomes[0].status, carried.pauses) == ("done", ())


@pytest.mark.parametrize("closed", [True, False])
def test_a_load_of_which_everything_is_sent_does_not_wait(server: ScriptedServer, closed: bool) -> None:
    target = Endpoint(server.url, "m")
    requests = [Request(index, 0, body_of(target, f"slow {index}", 8)) for index in range(4)]
    carried = run_load(Load(target, requests, concurrency=4, closed=closed), paused=lambda: len(server.requests) == 4)
    assert [outcome.status for outcome in carried.outcomes] == ["done"] * 4
    assert carried.pauses == (), "it held nothing back"


def test_a_load_is_stopped_in_a_pause(server: ScriptedServer) -> None:
    target = Endpoint(server.url, "m")
    requests = [Request(index, 0, body_of(target, f"slow {index}", 8)) for index in range(30)]
    seen: list[bool] = []
    began = time.monotonic()
    carried = run_load(
        Load(target, requests, concurrency=3, closed=True),
        stopped=lambda: len(seen) > 8,
        paused=lambda: time.monotonic() > began + 1,
        on_look=lambda _, paused: seen.append(True) if paused else None,
    )
    counts = Counter(outcome.status for outcome in carried.outcomes)
    assert counts["done"] >= 3
    assert counts["unsent"] == 30 - counts["done"] - counts["cancelled"]
    assert len(carried.pauses) == 1


def test_a_worker_that_is_killed_costs_its_requests_and_nobody_waits_for_it(server: ScriptedServer) -> None:
    target = Endpoint(server.url, "m")
    requests = [Request(index, index * 10 * MS, body_of(target, f"slow {index}", 8)) for index in range(80)]

    def kill_one() -> None:
        within(20, of=lambda: len(server.requests) >= 20)
        ours = [child for child in psutil.Process().children() if "core.benchmark.client.worker" in child.cmdline()]
        ours[0].kill()

    thread = threading.Thread(target=kill_one)
    thread.start()
    carried = run_load(Load(target, requests, workers=2))
    thread.join()
    counts = Counter(outcome.status for outcome in carried.outcomes)
    assert counts["done"] + counts["failed"] == 80
    assert counts["done"] >= 40
    assert counts["failed"] > 5
    assert {outcome.reason.partition(":")[0] for outcome in carried.outcomes if outcome.status == "failed"} == {
        "the client process ended before the response"
    }


@pytest.mark.slow
def test_the_workers_of_a_load_end_with_the_process_that_carries_it(server: ScriptedServer) -> None:
    """Also when that one is killed and can tell them nothing."""
    code = (
        "import sys\n"
        "from core.benchmark.client.request import Request, body_of\n"
        "from core.benchmark.client.load import Load, run_load\n"
        "from core.engine import Endpoint\n"
        "target = Endpoint(sys.argv[1], 'm')\n"
        "run_load(Load(target, [Request(index, 0, body_of(target, 'hang', 8)) for index in range(8)], workers=2))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, server.url])
    try:
        within(30, of=lambda: len(server.requests) == 8)
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 2
    finally:
        parent.kill()
        parent.wait()
    gone, left = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), left) == (2, [])

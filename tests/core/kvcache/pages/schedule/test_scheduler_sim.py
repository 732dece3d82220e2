"""The simulated scheduler against closed forms, against identities, and against a naive simulator that knows no memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Cancelled
from core.kvcache.pages.schedule.events import ScheduleEvent
from core.kvcache.pages.schedule.roofline import Roofline
from core.kvcache.pages.schedule.simulate import Server, continuous, percentile, static
from core.kvcache.pages.schedule.traces import Arrival

LINE = Roofline("test GPU", 1, 1e9, 1e12, 10_000_000, 5e6, 1000.0, 16, 16_000, 100_000, ())
SERVER = Server(LINE, context=4096, row=512, most_sequences=8, batch_tokens=256)

arrivals = st.lists(st.builds(Arrival, st.floats(0, 2), st.integers(1, 400), st.integers(1, 60)), min_size=1, max_size=20).map(
    lambda found: sorted(found, key=lambda arrival: arrival.time)
)


def naive(trace: list[Arrival], server: Server) -> list[float]:
    """Latencies with memory without end: same policy, written token by token."""
    now, done, waiting, live = 0.0, list[Any](), list(trace), list[Any]()
    while waiting or live:
        if not live and waiting[0].time > now:
            now = waiting[0].time
        plan, left = [], server.batch_tokens
        ready = [entry for entry in live if entry["todo"] == 1]
        for entry in [*ready, *(entry for entry in live if entry["todo"] > 1)]:
            take = min(entry["todo"], left)
            if take:
                plan.append((entry, take))
                left -= take
        while waiting and waiting[0].time <= now and left and len(live) < server.most_sequences:
            arrival = waiting.pop(0)
            entry = {"arrival": arrival, "todo": arrival.prompt, "cached": 0, "made": 0}
            live.append(entry)
            take = min(arrival.prompt, left)
            plan.append((entry, take))
            left -= take
        for entry, take in plan:
            entry["todo"] -= take
            entry["cached"] += take
        line = server.roofline
        reads = sum(entry["cached"] for entry, _ in plan)
        now += max((line.weight_bytes + reads * line.kv_bytes_per_token) / line.bandwidth, 2 * line.parameters * sum(t for _, t in plan) / line.flops)
        for entry, _ in plan:
            if entry["todo"] == 0:
                entry["made"] += 1
                entry["todo"] = 1
                if entry["made"] == entry["arrival"].output:
                    live.remove(entry)
                    done.append(now - entry["arrival"].time)
    return done


@given(arrivals)
@settings(max_examples=60, deadline=None)
def test_with_memory_enough_it_is_the_naive_simulator(trace: list[Arrival]) -> None:
    assert sorted(continuous(trace, SERVER).latencies) == pytest.approx(sorted(naive(trace, SERVER)))


def test_one_request_takes_the_time_of_its_steps() -> None:
    trace = [Arrival(3.0, 300, 5)]
    expected = LINE.seconds(256, 256) + LINE.seconds(44, 300) + sum(LINE.seconds(1, 300 + made) for made in range(1, 5))
    for found in (continuous(trace, SERVER), static(trace, SERVER)):
        assert found.latencies == [pytest.approx(expected)]
        assert found.first_tokens == [pytest.approx(LINE.seconds(256, 256) + LINE.seconds(44, 300))]
        assert (found.began, found.tokens, found.track.steps) == (3.0, 5, 6)
        assert found.makespan == pytest.approx(expected)


def test_equal_requests_at_once_take_both_ways_equally_long() -> None:
    trace = [Arrival(0.0, 20, 30)] * 8
    first, second = continuous(trace, SERVER), static(trace, SERVER)
    assert first.latencies == pytest.approx(second.latencies)
    assert first.track.steps == second.track.steps == 30


@given(trace=arrivals, blocks=st.integers(29, 60))
@settings(max_examples=60, deadline=None)
def test_with_little_memory_all_are_answered_and_no_block_is_given_twice(trace: list[Arrival], blocks: int) -> None:
    server = replace(SERVER, roofline=replace(LINE, blocks=blocks))
    told: list[ScheduleEvent] = []
    found = continuous(trace, server, told.append)
    assert len(found.latencies) == len(trace)
    assert found.refused == 0
    assert found.tokens == sum(arrival.output for arrival in trace)
    for event in told:
        assert 0 <= event.used <= blocks
        assert 0 <= event.filled <= 1
        assert sum(request.blocks for request in event.requests) <= blocks
    # More memory may end a trace later, as Graham's anomalies of list scheduling say; no request is faster than it is alone.
    alone = sorted(continuous([replace(arrival, time=0.0)], SERVER).latencies[0] for arrival in trace)
    assert all(latency >= least * (1 - 1e-9) for latency, least in zip(sorted(found.latencies), alone, strict=True))


def test_without_blocks_the_youngest_waits_again() -> None:
    server = replace(SERVER, roofline=replace(LINE, blocks=20))
    trace = [Arrival(0.0, 100, 150), Arrival(0.0, 100, 150)]
    found = continuous(trace, server)
    assert found.preemptions >= 1
    assert found.latencies[0] < found.latencies[1]
    assert found.latencies[0] == pytest.approx(continuous(trace, SERVER).latencies[0], rel=0.2)


def test_what_can_never_fit_is_refused_and_counted() -> None:
    trace = [Arrival(0.0, 10, 10), Arrival(0.0, 4000, 200), Arrival(0.0, 400, 200)]
    assert continuous(trace, SERVER).refused == 1, "longer than the context"
    assert static(trace, SERVER).refused == 2, "longer than a row as well"
    assert continuous(trace, replace(SERVER, roofline=replace(LINE, blocks=10))).refused == 2, "longer than the memory"
    assert static(trace, replace(SERVER, roofline=replace(LINE, blocks=10))).refused == 3, "no row fits"


def test_static_batching_waits_for_the_longest_answer() -> None:
    trace = [Arrival(0.0, 16, 2), Arrival(0.0, 16, 50)]
    apart, together = continuous(trace, SERVER).latencies, static(trace, SERVER).latencies
    assert together[0] == together[1]
    assert apart[0] < together[0] / 5


def test_pages_waste_less_than_rows_of_full_length() -> None:
    trace = [Arrival(index / 50, 40 + 13 * (index % 9), 20 + 7 * (index % 11)) for index in range(60)]
    paged, rows = continuous(trace, SERVER).track, static(trace, SERVER).track
    assert 1 - paged.filled / paged.busy < 0.1
    assert 1 - rows.filled / rows.busy > 0.5


def test_means_over_the_time_are_those_of_all_steps_however_many_points_are_kept() -> None:
    trace = [Arrival(0.0, 4, 3000), Arrival(0.0, 4, 3000), Arrival(20.0, 4, 3000)]
    track = continuous(trace, SERVER).track
    assert len(track.points) <= 4096 < track.steps
    times = [now for now, *_ in track.points]
    assert times == sorted(times)


def test_a_request_to_stop_is_heard() -> None:
    def stop(event: ScheduleEvent) -> None:
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        static([Arrival(0.0, 4, 4)], SERVER, stop)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_percentiles_are_the_smallest_values_that_enough_do_not_pass(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9

"""Which levels a sweep tries on a server of known capacity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.benchmark.analysis.sweep import highest_meeting, knee_of, swept
from core.benchmark.analysis.warnings import warnings_of
from core.benchmark.result import Level
from core.benchmark.spec import BenchmarkSpec
from tests.core.benchmark.making import entry
from tests.core.benchmark.making import level as made_level


def spec(**values: Any) -> BenchmarkSpec:
    found = BenchmarkSpec.parse({"model": "http://127.0.0.1:1", "load": "sweep", "requests": 1000} | values)
    assert isinstance(found, BenchmarkSpec)
    return found


class Server:
    """Gives `capacity` at most, and meets its objectives up to `limit`."""

    def __init__(self, capacity: float, limit: float) -> None:
        self.capacity, self.limit, self.asked = capacity, limit, list[float]()

    def __call__(self, load: float) -> Level:
        self.asked.append(load)
        late = max(load / self.capacity, 1.0)
        figures = made_level({"e2el_ms": [100.0 * late], "ttft_ms": [50.0 * late]}, load, 100.0 * min(load, self.capacity))
        return figures.model_copy(update={"meets_objectives": load <= self.limit, "achieved_rate": min(load, self.capacity)})


def test_without_objectives_levels_double_until_the_throughput_stands_still() -> None:
    server = Server(10.0, 10.0)
    levels = swept(spec(), server)
    assert server.asked == [1, 2, 4, 8, 16, 32, 64]
    assert knee_of(levels) == 8


@pytest.mark.parametrize(("limit", "highest"), [(11, 11), (5, 5), (64, 64), (1, 1)])
def test_the_highest_concurrency_that_meets_the_objectives_is_found(limit: int, highest: int) -> None:
    asked = spec(objectives=("ttft < 500ms",))
    levels = swept(asked, Server(20.0, limit))
    assert [level.level for level in levels] == sorted(level.level or 0 for level in levels)
    assert highest_meeting(levels, asked) == highest


@given(st.floats(1.0, 200.0))
@settings(max_examples=30, deadline=None)
def test_the_highest_rate_is_found_to_a_tenth(limit: float) -> None:
    asked = spec(sweep="rate", rate=1.0, objectives=("ttft < 500ms",))
    server = Server(400.0, limit)
    highest = highest_meeting(swept(asked, server), asked)
    assert highest is not None
    assert highest <= limit < 1.11 * highest
    assert len(server.asked) == len(set(server.asked))


def test_a_rate_that_was_not_sent_is_not_the_highest() -> None:
    asked = spec(sweep="rate", rate=1.0, objectives=("ttft < 500ms",))
    highest = highest_meeting(swept(asked, Server(10.0, 1000.0)), asked)
    assert highest is not None
    assert 10.0 / 1.11 < highest <= 10.0 / 0.95


def test_where_no_level_meets_there_is_no_highest() -> None:
    asked = spec(objectives=("ttft < 500ms",))
    server = Server(4.0, 0.5)
    assert highest_meeting(swept(asked, server), asked) is None
    assert server.asked == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(("requests", "last"), [(1, 1), (7, 2), (8, 4), (64, 32)])
def test_a_sweep_over_the_concurrency_ends_where_users_would_send_less_than_two_requests(requests: int, last: float) -> None:
    server = Server(1000.0, 1000.0)
    asked = spec(requests=requests, objectives=("ttft < 500ms",))
    levels = swept(asked, server)
    assert server.asked[-1] == last
    (wanting,) = [words for words in warnings_of(asked, entry({}, levels=levels), ()) if "for lack of requests" in words or "do not fill" in words]
    assert str(last) in wanting or requests == 1
    assert "do not fill a concurrency of 16" in warnings_of(spec(requests=20, levels=(4, 16)), entry({}, levels=[made_level({}, 16)]), ())[0]


def test_a_sweep_over_the_rate_goes_on_with_few_requests() -> None:
    server = Server(30.0, 30.0)
    swept(spec(sweep="rate", requests=4), server)
    assert server.asked[-1] > 60


def test_given_levels_are_measured_and_no_others() -> None:
    server = Server(4.0, 3.0)
    swept(spec(levels=(1, 2, 8), objectives=("ttft < 500ms",)), server)
    assert server.asked == [1, 2, 8]

"""Times by a clock that only moves when something is called."""

from __future__ import annotations

import pytest

from core.benchmark.machine.stopwatch import Stopwatch, Timed


class Clock:
    """Each call of `work` takes the next of its times."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.calls, self.synchronized = 0.0, 0, 0
        self._seconds = seconds

    def __call__(self) -> float:
        return self.now

    def work(self) -> None:
        self.now += self._seconds[min(self.calls, len(self._seconds) - 1)]
        self.calls += 1

    def synchronize(self) -> None:
        self.synchronized += 1


def test_slow_calls_are_timed_one_by_one_after_two_that_do_not_count() -> None:
    clock = Clock(9.0, 2.0, 1.0, 2.0, 3.0)
    timed = Stopwatch(clock, clock.synchronize, least=0.1, most=1000).time(clock.work, 3)
    assert timed.seconds == (1.0, 2.0, 3.0)
    assert clock.synchronized == 2 * 5


def test_fast_calls_are_repeated_until_the_clock_can_tell_them() -> None:
    clock = Clock(0.25)
    timed = Stopwatch(clock, least=1.0).time(clock.work, 2)
    assert timed.seconds == (0.25, 0.25)
    assert clock.calls == 2 + 2 * 4


def test_what_takes_too_long_is_repeated_twice_only() -> None:
    clock = Clock(8.0)
    assert Stopwatch(clock, most=20.0).time(clock.work, 100).seconds == (8.0, 8.0)
    assert clock.calls == 1 + 2


def test_what_is_called_between_is_off_the_clock() -> None:
    clock = Clock(1.0)

    def between() -> None:
        clock.now += 100.0

    assert Stopwatch(clock, least=0.1, most=1000).time(clock.work, 2, between).seconds == (1.0, 1.0)


def test_rates_are_the_mean_and_the_deviation_of_the_sample() -> None:
    assert Timed((1.0, 0.5, 0.25)).rate(2.0) == (pytest.approx(14 / 3), pytest.approx(3.0550504633))
    assert Timed((0.5,)).rate(1.0) == (2.0, 0.0)

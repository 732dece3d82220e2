"""Arrivals: rates, variances and what cannot be scheduled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.benchmark.workload import schedule
from core.errors import RequestError


def dispersion(times: schedule.Times, window: float) -> float:
    """Variance over mean of the counts a window: 1 for Poisson."""
    counts, _ = np.histogram(times, bins=np.arange(0, times[-1], window))
    return float(counts.var(ddof=1) / counts.mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_poisson_counts_vary_as_poisson_does(seed: int) -> None:
    times = schedule.poisson(50, 20_000, seed)
    assert 0.85 < dispersion(times, 0.2) < 1.15
    assert len(times) / times[-1] == pytest.approx(50, rel=0.03)


def test_burstiness_is_the_squared_variation_of_the_gaps() -> None:
    for wanted in (0.25, 1.0, 4.0):
        gaps = np.diff(schedule.gamma(10, 50_000, wanted, seed=3))
        assert gaps.mean() == pytest.approx(0.1, rel=0.04)
        assert gaps.var() / gaps.mean() ** 2 == pytest.approx(wanted, rel=0.08)


def test_a_constant_rate_is_even_and_begins_at_once() -> None:
    assert schedule.constant(4, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]


@given(st.floats(0, 50), st.floats(0.5, 50), st.integers(0, 100))
def test_a_ramp_stays_in_its_time_and_goes_forward(first: float, last: float, seed: int) -> None:
    times = schedule.ramp(first, last, 4, seed)
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times <= 4 + 1e-9)).all()


def test_a_ramp_has_its_rate_at_each_moment() -> None:
    times = np.concatenate([schedule.ramp(10, 90, 10, seed) for seed in range(60)])
    counts, _ = np.histogram(times, bins=np.linspace(0, 10, 6))
    assert counts / 60 / 2 == pytest.approx([18, 34, 50, 66, 82], rel=0.06)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.floats(0.1, 10))
def test_a_trace_keeps_its_gaps(recorded: list[float], scale: float) -> None:
    recorded.sort()
    times = schedule.trace(recorded, scale)
    assert times[0] == 0
    assert times * scale == pytest.approx(np.asarray(recorded) - recorded[0], abs=1e-6)


def test_equal_seeds_are_equal_schedules() -> None:
    assert (schedule.poisson(5, 50, 1) == schedule.poisson(5, 50, 1)).all()
    assert (schedule.poisson(5, 50, 1) != schedule.poisson(5, 50, 2)).any()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: schedule.constant(0, 5), "rate = 0"),
        (lambda: schedule.constant(float("inf"), 5), "rate"),
        (lambda: schedule.poisson(5, 0, 0), "requests = 0"),
        (lambda: schedule.gamma(5, 5, 0, 0), "burstiness"),
        (lambda: schedule.ramp(0, 0, 5, 0), "ramp"),
        (lambda: schedule.trace([]), "no requests"),
        (lambda: schedule.trace([1, 3, 2]), "at its request 3"),
        (lambda: schedule.trace([1, float("nan")]), "not a number"),
        (lambda: schedule.trace([1], 0), "speed"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(make: object, word: str) -> None:
    with pytest.raises(RequestError, match=word):
        make()  # type: ignore[operator]

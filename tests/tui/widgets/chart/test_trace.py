"""A curve that was thinned shows what the whole curve shows: its extremes, its end, and points that were really there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.chart.trace import Trace

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400)


def made(values: list[float], most: int) -> Trace:
    trace = Trace(most)
    for at, value in enumerate(values):
        trace.add(float(at), value)
    return trace


@given(VALUES, st.integers(5, 60))
def test_extremes_and_the_end_stay(values: list[float], most: int) -> None:
    trace = made(values, most)
    kept = [y for _, y in trace.points]
    assert len(kept) <= most
    assert (min(kept), max(kept), trace.points[-1]) == (min(values), max(values), (len(values) - 1, values[-1]))
    assert trace.top == max(values)


@given(VALUES, st.integers(5, 60))
def test_every_point_was_one_of_the_curve_and_in_its_order(values: list[float], most: int) -> None:
    xs = [x for x, _ in made(values, most).points]
    assert xs == sorted(set(xs))
    assert all(values[int(x)] == y for x, y in made(values, most).points)


@given(VALUES)
def test_a_short_curve_is_whole(values: list[float]) -> None:
    series = made(values, 900).series("label")
    assert (series.y, series.x, series.label) == (tuple(values), tuple(map(float, range(len(values)))), "label")


def test_every_span_of_a_long_curve_keeps_its_own_peak() -> None:
    """A peak of one second in each minute, over ten hours: those of early spans stay as those of late ones do."""
    values = [100.0 + minute if second == 30 else 1.0 + second for minute in range(600) for second in range(60)]
    trace = made(values, 960)
    assert 480 < len(trace.points) <= 960
    for first in range(0, len(values), 600):
        inside = [y for x, y in trace.points if first <= x < first + 600]
        assert max(inside) >= 100.0 + first // 60 + 7
        assert min(inside) <= 2.0


def test_what_is_not_known_is_no_point() -> None:
    trace = Trace()
    trace.add(1.0, None)
    assert not trace
    assert (trace.points, trace.top) == ([], 0.0)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5, got 4"):
        Trace(4)

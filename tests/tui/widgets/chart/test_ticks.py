import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.chart.ticks import log_ticks, round_step, short, tick_labels, ticks

SPANS = (
    st.tuples(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
    .map(lambda pair: (pair[0], pair[0] + pair[1]))
    .filter(lambda span: span[1] - span[0] > 1e-6 * max(map(abs, span)))
)


@given(SPANS, st.integers(2, 12))
def test_ticks_are_round_rising_and_inside(span, wanted):
    low, high = span
    places = ticks(low, high, wanted)
    step = round_step((high - low) / wanted)
    assert all(a < b for a, b in pairwise(places))
    assert all(low - step * 1e-6 <= place <= high + step * 1e-6 for place in places)
    assert len(places) <= wanted + 1
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-12)
    assert min(abs(mantissa - choice) for choice in (1, 2, 2.5, 5, 10)) < 1e-6


@pytest.mark.parametrize(
    ("low", "high", "wanted", "expected"),
    [(0, 10, 5, (0, 2, 4, 6, 8, 10)), (-30, 30, 4, (-20, 0, 20)), (0.1, 0.35, 3, (0.1, 0.2, 0.3))],
)
def test_known_ticks(low, high, wanted, expected):
    assert ticks(low, high, wanted) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-3, 4, [-3, -1, 1, 3]), (0, 1, [0, math.log10(2), math.log10(5), 1]), (0.31, 0.32, [0.31, 0.32])]
)
def test_log_ticks_are_decades_then_1_2_5_then_the_ends(low, high, expected):
    assert log_ticks(low, high, 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("positions", "labels"),
    [
        ((0.0, 20.0, 40.0), ["0", "20", "40"]),
        ((-0.5, 0.0, 0.5), ["-0.5", "0", "0.5"]),
        ((0.0, 25000.0, 50000.0), ["0", "25k", "50k"]),
        ((0.0, 2.5), ["0", "2.5"]),
        ((1e-9, 2e-9), ["1e-9", "2e-9"]),
        ((5.0,), ["5"]),
        ((), []),
    ],
)
def test_labels_tell_positions_apart_and_no_more(positions, labels):
    assert tick_labels(positions) == labels


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.5, "1.5"),
        (0.0123, "0.0123"),
        (14.2, "14.2"),
        (1234, "1234"),
        (12345, "12.3k"),
        (4.2e-7, "4.2e-7"),
        (2.5e10, "25G"),
        (-3.14159, "-3.14"),
    ],
)
def test_short_numbers(value, text):
    assert short(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_said_so(value):
    assert short(value) == "not finite"


@given(st.floats(-1e99, 1e99))
def test_a_short_number_is_short_and_close(value):
    text = short(value)
    assert len(text) <= 10
    units = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    back = float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)
    assert back == pytest.approx(value, rel=0.006)


def test_a_negative_position_keeps_its_sign_and_zero_has_none() -> None:
    assert tick_labels((-0.05, -0.025, 0.0, 0.025)) == ["-0.050", "-0.025", "0", "0.025"]

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.kvcache.why.growth import fit, parts, student_t, tail_exponent

LENGTHS = [10.0, 25.0, 50.0, 100.0, 200.0, 350.0, 500.0]


@given(st.floats(1e-6, 1e3), st.floats(-1, 3))
def test_a_power_law_is_found_as_it_is(coefficient: float, exponent: float) -> None:
    found = fit(LENGTHS, [coefficient * n**exponent for n in LENGTHS])
    assert found.exponent == pytest.approx(exponent, abs=1e-9)
    assert found.coefficient == pytest.approx(coefficient, rel=1e-6)
    assert found.low == pytest.approx(found.high, abs=1e-6)
    assert tail_exponent(LENGTHS, [coefficient * n**exponent for n in LENGTHS]) == pytest.approx(exponent, abs=1e-9)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.7062), (2, 4.30265), (5, 2.57058), (10, 2.22814), (30, 2.04227), (200, 1.97190)])
def test_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student_t(0.975, freedom) == pytest.approx(quantile, rel=2e-5)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    import random

    draw, held = random.Random(0), 0
    for _ in range(1000):
        times = [0.01 * n**1.5 * math.exp(draw.gauss(0, 0.2)) for n in LENGTHS]
        found = fit(LENGTHS, times)
        held += found.low <= 1.5 <= found.high
    assert 930 <= held <= 970


@given(st.floats(1e-5, 1.0), st.floats(1e-7, 1e-2))
def test_the_parts_of_a_total_are_found_as_they_are(step: float, token: float) -> None:
    found = parts(LENGTHS, [step * n + token * n * (n + 1) / 2 for n in LENGTHS])
    assert found.step == pytest.approx(step, rel=1e-4, abs=1e-6 * 250 * token)
    assert found.token == pytest.approx(token, rel=1e-4, abs=1e-6 * step)
    assert found.even == pytest.approx(2 * step / token - 1, rel=1e-2)


def test_no_part_is_negative() -> None:
    shrinking = parts(LENGTHS, [n**0.8 for n in LENGTHS])
    assert (shrinking.token, shrinking.even) == (0.0, None)
    assert shrinking.step > 0
    steep = parts(LENGTHS, [n**2.5 for n in LENGTHS])
    assert steep.step == 0
    assert steep.token > 0

"""Counts by the digits of the share, and requests that no row can satisfy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RequestError
from core.prune.weights.pattern import Pattern


@given(percent=st.integers(0, 99), weights=st.integers(0, 10**9))
def test_counts_are_those_of_the_decimal_share(percent: int, weights: int) -> None:
    assert Pattern(percent / 100).count(weights) == weights * percent // 100


def test_29_percent_of_100_are_29() -> None:
    assert int(100 * 0.29) == 28, "what a float product says"
    assert Pattern(0.29).count(100) == 29


def test_the_first_number_is_how_many_are_kept() -> None:
    pattern = Pattern(keep=(1, 4))
    assert pattern.sparsity == 0.75
    assert str(pattern) == "1:4"
    assert str(Pattern(0.5)) == "50 %"


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_a_share_outside_0_to_1_is_refused(sparsity: float) -> None:
    with pytest.raises(RequestError, match="at least 0 and below 1"):
        Pattern(sparsity)


@pytest.mark.parametrize("keep", [(0, 4), (4, 4), (5, 4), (-1, 4)])
def test_groups_that_keep_nothing_or_everything_are_refused(keep: tuple[int, int]) -> None:
    with pytest.raises(RequestError, match="must be between 1 and 3"):
        Pattern(keep=keep)


def test_groups_that_do_not_divide_a_row_are_refused() -> None:
    Pattern(keep=(2, 4)).require_columns(64, "q_proj")
    with pytest.raises(RequestError, match=r"q_proj has rows of 66 weights, which groups of 4 do not divide"):
        Pattern(keep=(2, 4)).require_columns(66, "q_proj")

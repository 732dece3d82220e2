"""Percentiles against numpy's nearest rank, their intervals against many draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.measure.percentiles import distribution, grouped_distribution, samples_needed

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(SAMPLES, st.sampled_from([1.0, 50.0, 90.0, 95.0, 99.0, 99.9]))
def test_a_percentile_is_numpys_inverted_cdf(sample: list[float], level: float) -> None:
    found = distribution(sample, [level]).at(level)
    assert found == np.percentile(sample, level, method="inverted_cdf")


@given(SAMPLES)
def test_the_summary_is_numpys(sample: list[float]) -> None:
    found = distribution(sample)
    assert found.n == len(sample)
    assert found.mean == pytest.approx(np.mean(sample), rel=1e-9, abs=1e-6)
    assert (found.least, found.most) == (min(sample), max(sample))
    if len(sample) > 1:
        assert found.deviation == pytest.approx(np.std(sample, ddof=1), rel=1e-9, abs=1e-9)
    for each in found.percentiles:
        assert each.low is None or each.low <= each.value
        assert each.high is None or each.value <= each.high


@pytest.mark.parametrize(("count", "level"), [(40, 50.0), (200, 90.0), (600, 99.0)])
def test_an_interval_holds_the_true_percentile_in_95_of_100_samples(count: int, level: float) -> None:
    generator = np.random.default_rng(0)
    true = -np.log(1 - level / 100)
    held = 0
    for _ in range(600):
        found = distribution(generator.exponential(size=count), [level]).percentiles[0]
        assert found.low is not None
        held += found.low <= true <= (np.inf if found.high is None else found.high)
    assert held / 600 > 0.93


def test_a_small_sample_has_no_interval_and_may_not_be_claimed() -> None:
    found = distribution([1.0, 2.0, 3.0], [99.0]).percentiles[0]
    assert found.value == 3
    assert found.high is None
    assert not found.enough


def test_the_samples_that_a_claim_needs_are_those_of_loadgen() -> None:
    assert samples_needed(99.0) == 459
    assert samples_needed(95.0) == 90
    assert samples_needed(50.0) == 7


def test_nothing_measured_is_nothing_and_not_zero() -> None:
    found = distribution([])
    assert (found.n, found.mean, found.at(50.0)) == (0, None, None)


def test_values_that_hang_together_in_groups_have_wider_intervals() -> None:
    """Of gaps that are alike within a request only the requests are independent."""
    generator = np.random.default_rng(1)
    groups = [generator.normal(mean, 0.1, 50).tolist() for mean in generator.normal(20, 2, 40)]
    together, alone = grouped_distribution(groups), distribution([value for group in groups for value in group])
    assert [each.value for each in together.percentiles] == [each.value for each in alone.percentiles]
    wide, narrow = (next(each for each in found.percentiles if each.level == 50) for found in (together, alone))
    assert None not in (wide.low, wide.high, narrow.low, narrow.high)
    assert (wide.high or 0) - (wide.low or 0) > 3 * ((narrow.high or 0) - (narrow.low or 0))
    assert [each.level for each in together.percentiles if each.enough] == [50, 75], "40 requests, not 2000 gaps, are what may claim a percentile"
    assert [each.level for each in alone.percentiles if each.enough] == [50, 75, 90, 95, 99]


@pytest.mark.parametrize("per_group", [1, 8])
def test_the_interval_of_groups_holds_the_truth_as_often_as_it_says(per_group: int) -> None:
    """The median of groups with means N(0, 1) and values N(mean, 0.2) is 0."""
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(120):
        means = generator.normal(0, 1, 60)
        found = grouped_distribution([generator.normal(mean, 0.2, per_group).tolist() for mean in means], (50.0,)).percentiles[0]
        held += (found.low or 0) <= 0 <= (found.high or 0)
    assert held >= 106, "95 % of 120 are 114, and 106 lie 3 deviations below"


def test_groups_of_one_value_are_plain_values_and_none_is_nothing() -> None:
    values = [3.0, 1.0, 2.0, 5.0]
    assert grouped_distribution([[value] for value in values]) == distribution(values)
    assert grouped_distribution([[], []]) == distribution([])
    assert grouped_distribution([[], [1.0, 2.0]]).n == 2

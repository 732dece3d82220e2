"""Bounds that a true distribution keeps, and a false one does not."""

from __future__ import annotations

import math

import pytest
import torch

from core.speculate.lossless.statistics import chi_squared, compare, total_variation, upper_tail, variation_bound


def counts_of(probabilities: torch.Tensor, draws: int, seed: int) -> torch.Tensor:
    drawn = torch.multinomial(probabilities, draws, replacement=True, generator=torch.Generator().manual_seed(seed))
    return torch.bincount(drawn, minlength=len(probabilities))


def test_total_variation_is_half_the_absolute_differences() -> None:
    assert total_variation(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1.0
    assert total_variation(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])) == 0.25


@pytest.mark.parametrize("error", [0.5, 0.1])
@pytest.mark.parametrize("draws", [10, 1000])
def test_a_true_distribution_passes_its_bound_no_oftener_than_promised(draws: int, error: float) -> None:
    p = torch.rand(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64).pow(3)
    p /= p.sum()
    bound = variation_bound(p, draws, error)
    passed = sum(total_variation(counts_of(p, draws, seed) / draws, p) > bound for seed in range(400))
    assert passed <= error * 400


def test_the_bound_is_not_idle() -> None:
    """It stays within twice the mean total variation of a true distribution."""
    p = torch.full((50,), 0.02, dtype=torch.float64)
    mean = sum(total_variation(counts_of(p, 100_000, seed) / 100_000, p) for seed in range(10)) / 10
    assert mean < variation_bound(p, 100_000, 0.01) < 2 * mean


@pytest.mark.parametrize(("statistic", "freedom", "tail"), [(3.841, 1, 0.05), (18.307, 10, 0.05), (66.766, 49, 0.0465), (0.0, 5, 1.0)])
def test_the_tail_of_a_chi_square_is_the_tables(statistic: float, freedom: int, tail: float) -> None:
    assert upper_tail(statistic, freedom) == pytest.approx(tail, abs=5e-4)


def test_rare_tokens_share_a_cell_and_impossible_ones_are_refused() -> None:
    p = torch.tensor([0.9, 0.096, *[0.001] * 4, 0.0], dtype=torch.float64)
    counts = torch.tensor([900, 96, 1, 1, 1, 1, 0])
    statistic, freedom = chi_squared(counts, p)
    assert (statistic, freedom) == (pytest.approx(0.0, abs=1e-9), 1)
    counts[-1] = 1
    assert chi_squared(counts, p)[0] == math.inf
    assert not compare(counts, p, 0.01).passed


def test_p_values_of_true_distributions_are_spread_evenly() -> None:
    p = torch.rand(30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    p /= p.sum()
    found = [upper_tail(*chi_squared(counts_of(p, 3000, seed), p)) for seed in range(300)]
    for share in (0.1, 0.5, 0.9):
        assert abs(sum(value < share for value in found) / 300 - share) < 0.09

"""Whether counts can have come from a known distribution: total variation and chi-square."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_EXPECTED_IN_A_CELL = 5.0


@dataclass(frozen=True)
class Fit:
    """Counts against probabilities."""

    draws: int
    cells: int
    total_variation: float
    bound: float
    chi_square: float
    degrees_of_freedom: int
    p_value: float
    passed: bool


def compare(counts: Tensor, probabilities: Tensor, error: float) -> Fit:
    """Test whether counts were drawn from a distribution.

    Each of the two tests, total variation and chi-square, may refuse a true distribution with half of `error`. The first bound holds for every number
    of draws; the p-value of the second is that of many.

    Args:
        counts: int64 [V], of independent draws.
        probabilities: float64 [V].
        error: chance with which a true distribution may be refused.
    """
    draws = int(counts.sum())
    chi_square, freedom = chi_squared(counts, probabilities)
    p_value = upper_tail(chi_square, freedom)
    variation, bound = total_variation(counts / draws, probabilities), variation_bound(probabilities, draws, error / 2)
    return Fit(draws, len(counts), variation, bound, chi_square, freedom, p_value, variation <= bound and p_value >= error / 2)


def total_variation(one: Tensor, other: Tensor) -> float:
    """Half the sum of absolute differences of two distributions [V]."""
    return float((one.double() - other.double()).abs().sum() / 2)


def variation_bound(probabilities: Tensor, draws: int, error: float) -> float:
    """What the total variation between a distribution and the frequencies of N draws from it stays under with probability 1 - error.

    Its mean is at most ½ Σ sqrt(p (1 - p) / N): the mean absolute deviation of a binomial frequency is at most its standard deviation. Changing one
    draw moves it by at most 1 / N, so that by McDiarmid's inequality it exceeds its mean by t with probability at most exp(-2 N t²). With
    t = sqrt(ln(1 / error) / 2N) the bound holds for every N and needs no normal approximation.
    """
    p = probabilities.double()
    mean = float((p * (1 - p)).clamp(min=0).sqrt().sum()) / (2 * math.sqrt(draws))
    return mean + math.sqrt(math.log(1 / error) / (2 * draws))


def chi_squared(counts: Tensor, probabilities: Tensor) -> tuple[float, int]:
    """Pearson's statistic and its degrees of freedom; rare tokens share cells of 5 expected draws or more, an impossible one is infinite."""
    p, n = probabilities.double(), counts.double()
    if bool(((p <= 0) & (n > 0)).any()):
        return math.inf, 1
    expected, seen = _pooled(p * n.sum(), n)
    return float(((seen - expected) ** 2 / expected).sum()), max(len(expected) - 1, 1)


def upper_tail(chi_square: float, freedom: int) -> float:
    """P(X > chi_square) for a chi-square of so many degrees of freedom: the regularized upper incomplete gamma function."""
    if math.isinf(chi_square):
        return 0.0
    half = torch.tensor([freedom / 2, chi_square / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def _pooled(expected: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Cells from the rarest token on, each with enough expected draws; what is left over at the end joins the last cell."""
    order = expected.argsort()
    expected, seen = expected[order], seen[order]
    possible = expected > 0
    expected, seen = expected[possible], seen[possible]
    cells: list[int] = []
    cell, held = 0, 0.0
    for share in expected.tolist():
        cells.append(cell)
        held += share
        if held >= _EXPECTED_IN_A_CELL:
            cell, held = cell + 1, 0.0
    last = max(cell - 1, 0) if held else cell
    index = torch.tensor(cells).clamp(max=last)
    return tuple(torch.zeros(int(index.max()) + 1, dtype=torch.float64).index_add_(0, index, values) for values in (expected, seen))  # type: ignore[return-value]

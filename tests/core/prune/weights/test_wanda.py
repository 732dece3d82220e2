"""Wanda's mask bit for bit as its authors choose it, and exact counts for magnitude and Wanda after the cast that a file makes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import RunFailed
from core.prune.weights import magnitude, wanda
from core.prune.weights.config import MaskConfig
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern
from tests.core.prune.weights.problems import correlated_inputs, statistics_of, zeros_in_groups


def by_the_authors(weight: Tensor, mean_square: Tensor, sparsity: float) -> Tensor:
    """A stable sort of every row of |W| times the norms; the first int(columns * sparsity) go (arXiv 2306.11695, algorithm 1)."""
    ranked = torch.sort(torch.abs(weight) * torch.sqrt(mean_square.reshape(1, -1)), dim=-1, stable=True).indices
    return torch.zeros_like(weight, dtype=torch.bool).scatter_(1, ranked[:, : int(weight.shape[1] * sparsity)], True)


def by_the_authors_in_groups(weight: Tensor, mean_square: Tensor, dropped: int, group: int) -> Tensor:
    metric = torch.abs(weight) * torch.sqrt(mean_square.reshape(1, -1))
    mask = torch.zeros_like(weight, dtype=torch.bool)
    for first in range(0, weight.shape[1], group):
        ranked = torch.sort(metric[:, first : first + group], dim=1, stable=True).indices
        mask.scatter_(1, first + ranked[:, :dropped], True)
    return mask


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 96),
    sixteenths=st.integers(0, 15),
    coarse=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 10**6),
)
def test_the_mask_is_the_authors_bit_for_bit(rows: int, columns: int, sixteenths: int, coarse: bool, dtype: torch.dtype, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator).to(dtype).float()
    mean_square = torch.rand(columns, generator=generator)
    if coarse:  # many equal scores
        weight, mean_square = weight.round(), (2 * mean_square).round()
    share = sixteenths / 16  # exact in floating point: both count alike
    assert torch.equal(choose(wanda.scores(weight, mean_square), Pattern(share)), by_the_authors(weight, mean_square, share))


@settings(max_examples=40, deadline=None)
@given(
    keep=st.sampled_from([(2, 4), (4, 8), (1, 4), (3, 4), (2, 3), (5, 20)]), groups=st.integers(1, 9), coarse=st.booleans(), seed=st.integers(0, 999)
)
def test_groups_are_the_authors_bit_for_bit(keep: tuple[int, int], groups: int, coarse: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight, mean_square = torch.randn(5, groups * keep[1], generator=generator), torch.rand(groups * keep[1], generator=generator)
    if coarse:
        weight, mean_square = weight.round(), (2 * mean_square).round()
    expected = by_the_authors_in_groups(weight, mean_square, keep[1] - keep[0], keep[1])
    assert torch.equal(choose(wanda.scores(weight, mean_square), Pattern(keep=keep)), expected)


def test_prune_uses_the_statistics_of_the_inputs() -> None:
    inputs = correlated_inputs(300, 48, seed=0)
    weight = torch.randn(7, 48, generator=torch.Generator().manual_seed(1))
    found = wanda.prune(weight, statistics_of(inputs), MaskConfig(Pattern(0.5)))
    expected = by_the_authors(weight, inputs.square().mean(dim=0), 0.5)
    assert (found.removed ^ expected).float().mean() < 0.01, "sums in another order may tip a near tie"
    assert torch.equal(found.weight, weight.masked_fill(found.removed, 0))
    assert found.sparsity == 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-7, 1e-30])
@pytest.mark.parametrize("keep", [(2, 4), (4, 8), (1, 4), (3, 4)])
def test_groups_hold_after_the_cast(dtype: torch.dtype, scale: float, keep: tuple[int, int]) -> None:
    """Down to weights that underflow, where more become zero, never fewer."""
    weight = scale * torch.randn(16, 64, generator=torch.Generator().manual_seed(2))
    weight[:, ::5] = -weight[:, ::5]
    found = magnitude.prune(weight.to(dtype), None, MaskConfig(Pattern(keep=keep)))
    assert bool((found.removed.view(16, -1, keep[1]).sum(dim=2) == keep[1] - keep[0]).all())
    assert bool((zeros_in_groups(found.weight.to(dtype), keep[1]) >= keep[1] - keep[0]).all())
    assert not bool(torch.signbit(found.weight[found.removed]).any()), "no negative zeros"


@pytest.mark.parametrize("share", [0.0, 0.29, 0.5, 0.55, 0.99])
def test_magnitude_counts_are_exact_where_thousands_tie(share: float) -> None:
    weight = (torch.randn(50, 100, generator=torch.Generator().manual_seed(3)) * 4).round().to(torch.bfloat16)
    by_row = magnitude.prune(weight, None, MaskConfig(Pattern(share)))
    assert by_row.removed.sum(dim=1).tolist() == [round(100 * share)] * 50
    whole = magnitude.prune(weight, None, MaskConfig(Pattern(share, scope="matrix")))
    assert int(whole.removed.sum()) == round(5000 * share)
    limit = weight.float().abs()[whole.removed].max() if share else 0
    assert bool((weight.float().abs()[~whole.removed] >= limit).all())


def test_nan_is_refused() -> None:
    weight = torch.ones(2, 4)
    weight[1, 2] = torch.nan
    with pytest.raises(RunFailed, match="the weight contains NaN"):
        magnitude.prune(weight, None, MaskConfig(Pattern(0.5)))
    statistics = statistics_of(torch.full((3, 4), torch.inf))
    with pytest.raises(RunFailed, match="calibration inputs contain NaN"):
        wanda.prune(torch.ones(2, 4), statistics, MaskConfig(Pattern(0.5)))

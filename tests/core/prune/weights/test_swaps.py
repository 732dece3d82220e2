"""Swaps: monotone, of the same counts, and at the best single swap of small rows; against brute force over all swaps."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.prune.weights import wanda
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern
from core.prune.weights.swaps import refine
from tests.core.prune.weights.problems import objective, problem


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(1, 8), (7, 24), (16, 96), (5, 200)]),
    share=st.floats(0, 0.95),
    keep=st.sampled_from([None, (2, 4), (1, 4), (4, 8)]),
    swaps=st.integers(1, 60),
    seed=st.integers(0, 10**6),
)
def test_the_error_falls_and_counts_stay(shape: tuple[int, int], share: float, keep: tuple[int, int] | None, swaps: int, seed: int) -> None:
    weight, hessian = problem(*shape, seed)
    pattern = Pattern(share, keep)
    removed = choose(weight.abs(), pattern)
    start = removed.clone()
    found = refine(weight, removed, hessian, pattern, swaps=swaps)
    assert torch.equal(removed, start), "the argument is left unchanged"
    for row in range(len(weight)):
        before, after = (objective(weight[[row]], weight[[row]].masked_fill(mask[[row]], 0), hessian) for mask in (removed, found.removed))
        assert after <= before * (1 + 1e-6)
    assert found.before == pytest.approx(objective(weight, weight.masked_fill(removed, 0), hessian), rel=1e-4, abs=1e-7)
    assert found.after == pytest.approx(objective(weight, weight.masked_fill(found.removed, 0), hessian), rel=1e-4, abs=1e-7)
    assert found.removed.sum(dim=1).tolist() == removed.sum(dim=1).tolist()
    assert int((found.removed & ~removed).sum(dim=1).max()) <= swaps
    if keep is not None:
        assert torch.equal(found.removed.view(shape[0], -1, keep[1]).sum(dim=2), removed.view(shape[0], -1, keep[1]).sum(dim=2))
    assert (found.swaps == 0) == torch.equal(found.removed, removed)


def best_swap(weight: Tensor, removed: Tensor, hessian: Tensor, group: int) -> float:
    """The least error of a row [in] after any one swap, or none."""
    kept, gone = (~removed).nonzero().flatten().tolist(), removed.nonzero().flatten().tolist()
    errors = [objective(weight[None], weight.masked_fill(removed, 0)[None], hessian)]
    for out, back in itertools.product(kept, gone):
        if group and out // group != back // group:
            continue
        trial = removed.clone()
        trial[out], trial[back] = True, False
        errors.append(objective(weight[None], weight.masked_fill(trial, 0)[None], hessian))
    return min(errors)


@pytest.mark.parametrize("pattern", [Pattern(0.5), Pattern(0.75), Pattern(keep=(2, 4)), Pattern(keep=(4, 8))], ids=str)
def test_no_single_swap_is_left_in_rows_of_which_all_weights_are_candidates(pattern: Pattern) -> None:
    weight, hessian = problem(12, 24, seed=8)
    removed = choose(weight.abs(), pattern)
    found = refine(weight, removed, hessian, pattern, swaps=1000).removed
    for row in range(len(weight)):
        after = objective(weight[[row]], weight[[row]].masked_fill(found[[row]], 0), hessian)
        assert best_swap(weight[row], found[row], hessian, pattern.keep[1] if pattern.keep else 0) >= after * (1 - 1e-5)


@pytest.mark.parametrize("pattern", [Pattern(0.5), Pattern(keep=(2, 4)), Pattern(0.7)], ids=str)
def test_wandas_error_falls_by_more_than_a_quarter(pattern: Pattern) -> None:
    weight, hessian = problem(64, 256, seed=9)
    found = refine(weight, choose(wanda.scores(weight, hessian.diagonal() / 2), pattern), hessian, pattern)
    assert found.after < 0.75 * found.before


def test_independent_inputs_leave_wandas_mask() -> None:
    """Without correlations Wanda's choice is the best there is."""
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    scales = torch.rand(64, generator=torch.Generator().manual_seed(2)) + 0.1
    removed = choose(wanda.scores(weight, scales), Pattern(0.5))
    found = refine(weight, removed, torch.diag(2 * scales), Pattern(0.5))
    assert found.swaps == 0
    assert torch.equal(found.removed, removed)

"""ALPS and exchanges: exact counts, the identity of their losses, and errors below SparseGPT's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calibration.cholesky import factorize
from core.errors import RunFailed
from core.prune.weights import alps, sparsegpt, wanda
from core.prune.weights.config import MaskConfig
from core.prune.weights.exchange import exchange
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern, Scope
from core.prune.weights.refit import normalize, refit
from tests.core.prune.weights.problems import correlated_inputs, damped, objective, problem, statistics_of, zeros_in_groups

PATTERNS = (Pattern(0.5, scope="matrix"), Pattern(0.6, scope="matrix"), Pattern(0.7, scope="matrix"), Pattern(keep=(2, 4)), Pattern(keep=(4, 8)))


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_its_error_is_below_sparsegpts(pattern: Pattern) -> None:
    weight, hessian = problem(64, 256, seed=11)
    theirs = sparsegpt.solve(weight, factorize(hessian), pattern)
    again = refit(weight, theirs.removed, hessian, start=theirs.weight)
    found = alps.solve(weight, alps.decompose(hessian, 0.01), pattern)
    error = objective(weight, found.weight, hessian)
    assert error < 0.5 * objective(weight, theirs.weight, hessian)
    assert error < 0.9 * objective(weight, again, hessian)


@settings(max_examples=10, deadline=None)
@given(
    shape=st.sampled_from([(1, 8), (5, 24), (16, 96), (3, 200)]),
    share=st.floats(0, 0.95),
    keep=st.sampled_from([None, (2, 4), (1, 4), (3, 8)]),
    scope=st.sampled_from(["row", "matrix"]),
    seed=st.integers(0, 10**6),
)
def test_counts_are_exact_and_losses_sum_to_the_damped_objective(
    shape: tuple[int, int], share: float, keep: tuple[int, int] | None, scope: Scope, seed: int
) -> None:
    weight, hessian = problem(*shape, seed)
    pattern = Pattern(share, keep, scope)
    found = alps.solve(weight, alps.decompose(hessian, 0.01), pattern, steps=60)
    assert bool((found.weight[found.removed] == 0).all())
    assert bool(torch.isfinite(found.weight).all())
    if keep is not None:
        assert bool((found.removed.view(shape[0], -1, keep[1]).sum(dim=2) == keep[1] - keep[0]).all())
    elif scope == "row":
        assert found.removed.sum(dim=1).tolist() == [pattern.count(shape[1])] * shape[0]
    else:
        assert int(found.removed.sum()) == pattern.count(weight.numel())
    assert found.losses is not None
    expected = objective(weight, found.weight, damped(hessian, 0.01))
    scale = objective(weight, torch.zeros_like(weight), damped(hessian, 0.01))
    assert float(found.losses.double().sum()) == pytest.approx(expected, rel=1e-3, abs=1e-6 * scale)


@pytest.mark.parametrize("pattern", [Pattern(0.5), Pattern(0.8), Pattern(0.5, scope="matrix"), Pattern(keep=(2, 4)), Pattern(keep=(4, 64))], ids=str)
def test_exchanges_lower_the_error_of_a_refit_and_keep_the_counts(pattern: Pattern) -> None:
    weight, hessian = problem(32, 128, seed=12)
    removed = choose(wanda.scores(weight, hessian.diagonal() / 2), pattern)
    start, full = removed.clone(), damped(hessian, 0.01)
    found = exchange(weight, removed, normalize(hessian, 0.01), pattern)
    assert torch.equal(removed, start)
    assert found.swaps > 0
    assert int((found.removed & ~removed).sum()) <= found.swaps
    assert found.removed.sum(dim=1).tolist() == removed.sum(dim=1).tolist()
    assert bool((found.weight[found.removed] == 0).all())
    assert objective(weight, found.weight, full) < 0.9 * objective(weight, refit(weight, removed, hessian, damp=0.01), full)
    if pattern.keep is not None:
        assert bool((zeros_in_groups(found.weight, pattern.keep[1]) == pattern.keep[1] - pattern.keep[0]).all())


def test_zero_sparsity_leaves_the_weight() -> None:
    weight, hessian = problem(8, 32, seed=13)
    found = alps.solve(weight, alps.decompose(hessian, 0.01), Pattern(0.0))
    torch.testing.assert_close(found.weight, weight)


def test_prune_keeps_the_eigenvectors_for_linears_that_share_the_input() -> None:
    statistics = statistics_of(correlated_inputs(200, 32, seed=14))
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(15))
    found = alps.prune(weight, statistics, MaskConfig(Pattern(0.5)))
    kept: alps.Spectrum = statistics.once(("alps", 0.01), lambda: pytest.fail("the eigenvectors were not kept"))
    assert torch.equal(alps.solve(weight, kept, Pattern(0.5)).weight, found.weight)
    values = kept.vectors @ torch.diag(kept.values) @ kept.vectors.t()
    torch.testing.assert_close(values, kept.normalized.gram, rtol=1e-4, atol=1e-5)


def test_nan_is_refused() -> None:
    weight, hessian = problem(4, 32, seed=16)
    with pytest.raises(RunFailed, match="the weight contains NaN"):
        alps.solve(weight.index_fill(1, torch.tensor([3]), torch.nan), alps.decompose(hessian, 0.01), Pattern(0.5))

"""SparseGPT against a literal reading of the paper in float64, and against its own exact identity."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.calibration.cholesky import Factor, factorize
from core.errors import RequestError, RunFailed
from core.prune.weights import sparsegpt, wanda
from core.prune.weights.config import MaskConfig
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern, Scope
from tests.core.prune.weights.problems import correlated_inputs, damped, objective, problem, statistics_of, zeros_in_groups


def by_the_paper(weight: Tensor, hessian: Tensor, pattern: Pattern, block: int) -> Tensor:
    """Algorithm 1 of arXiv 2301.00774 in float64: OBS on the inverse of the Hessian of the columns that are still to come."""
    work, full, columns = weight.double().clone(), damped(hessian, 0.01), weight.shape[1]
    inverses = [torch.linalg.inv(full[column:, column:]) for column in range(columns)]
    costs = torch.stack([inverse[0, 0] for inverse in inverses])
    removed = torch.zeros_like(weight, dtype=torch.bool)
    for column in range(columns):
        if pattern.keep is None and column % block == 0:
            here = (work[:, column : column + block] ** 2 / costs[column : column + block]).flatten()
            before, after = (pattern.count(len(weight) * end) for end in (column, min(column + block, columns)))
            chosen = torch.zeros_like(here, dtype=torch.bool)
            chosen[torch.argsort(here, stable=True)[: after - before]] = True
            removed[:, column : column + block] = chosen.view(len(weight), -1)
        elif pattern.keep is not None and column % pattern.keep[1] == 0:
            kept, group = pattern.keep
            here = work[:, column : column + group] ** 2 / costs[column : column + group]
            removed[:, column : column + group].scatter_(1, torch.argsort(here, dim=1, stable=True)[:, : group - kept], True)
        error = torch.where(removed[:, column], work[:, column], 0) / inverses[column][0, 0]
        work[:, column:] -= torch.outer(error, inverses[column][0])
        work[:, column][removed[:, column]] = 0
    return work.masked_fill(removed, 0)


@pytest.mark.parametrize("pattern", [Pattern(0.5, scope="matrix"), Pattern(0.3, scope="matrix"), Pattern(keep=(2, 4)), Pattern(keep=(1, 3))])
@pytest.mark.parametrize("block", [24, 128])
def test_equals_the_paper(pattern: Pattern, block: int) -> None:
    weight, hessian = problem(12, 96, seed=3)
    found = sparsegpt.solve(weight, factorize(hessian), pattern, block=block)
    expected = by_the_paper(weight, hessian, pattern, block)
    assert (found.removed ^ (expected == 0)).float().mean() <= 0.002, "float32 may tip a near tie"
    assert objective(weight, found.weight, hessian) == pytest.approx(objective(weight, expected, hessian), rel=0.01)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(5, 64), (3, 96), (16, 160), (8, 256), (4, 300), (7, 132)]),
    share=st.floats(0, 0.95),
    keep=st.sampled_from([None, (2, 4), (1, 4), (1, 2)]),
    scope=st.sampled_from(["row", "matrix"]),
    block=st.sampled_from([16, 100, 128]),
    seed=st.integers(0, 10**6),
)
def test_losses_sum_to_half_the_damped_objective(
    shape: tuple[int, int], share: float, keep: tuple[int, int] | None, scope: Scope, block: int, seed: int
) -> None:
    weight, hessian = problem(*shape, seed)
    pattern = Pattern(share, keep, scope)
    found = sparsegpt.solve(weight, factorize(hessian), pattern, block=block)
    assert found.losses is not None
    expected = objective(weight, found.weight, damped(hessian, 0.01))
    assert float(found.losses.double().sum()) == pytest.approx(expected, rel=1e-4, abs=1e-8)
    assert bool((found.weight[found.removed] == 0).all())
    if keep is not None:
        assert bool((found.removed.view(shape[0], -1, keep[1]).sum(dim=2) == keep[1] - keep[0]).all())
    elif scope == "row":
        assert found.removed.sum(dim=1).tolist() == [pattern.count(shape[1])] * shape[0]
    else:
        assert int(found.removed.sum()) == pattern.count(weight.numel())


def test_zero_sparsity_leaves_the_weight() -> None:
    weight, hessian = problem(8, 96, seed=5)
    hessian[7], hessian[:, 7] = 0, 0
    found = sparsegpt.solve(weight, factorize(hessian), Pattern(0.0))
    assert torch.equal(found.weight, weight)
    assert found.losses is not None
    assert float(found.losses.abs().max()) == 0


@pytest.mark.parametrize("pattern", [Pattern(0.5, scope="matrix"), Pattern(0.5), Pattern(keep=(2, 4))], ids=str)
def test_beats_wanda_on_the_error_of_the_output(pattern: Pattern) -> None:
    weight, hessian = problem(64, 256, seed=6)
    simple = weight.masked_fill(choose(wanda.scores(weight, hessian.diagonal() / 2), pattern), 0)
    found = sparsegpt.solve(weight, factorize(hessian), pattern)
    assert objective(weight, found.weight, hessian) < 0.7 * objective(weight, simple, hessian)


def test_inputs_that_are_always_zero_go_first_and_the_rest_of_them_stay() -> None:
    weight, hessian = problem(8, 64, seed=4)
    hessian[5], hessian[:, 5] = 0, 0
    hessian[9], hessian[:, 9] = 0, 0
    found = sparsegpt.solve(weight, factorize(hessian), Pattern(1 / 64))
    assert found.removed.sum(dim=0).nonzero().flatten().tolist() == [5]
    assert torch.equal(found.weight[:, 9], weight[:, 9])
    assert found.losses is not None
    assert float(found.losses.abs().max()) == 0


def test_raised_damping_is_said() -> None:
    weight, hessian = problem(4, 32, seed=5)
    values, vectors = torch.linalg.eigh(hessian)
    bad = hessian - (values[0] + 0.02 * hessian.diagonal().mean()) * torch.outer(vectors[:, 0], vectors[:, 0])
    found = sparsegpt.solve(weight, factorize(bad, damp=1e-3), Pattern(0.5))
    assert "damping was raised from 0.001 to 0.1" in found.notes[0]
    assert bool(torch.isfinite(found.weight).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_groups_hold_after_the_cast(dtype: torch.dtype) -> None:
    inputs = correlated_inputs(300, 64, seed=1)
    weight = 1e-6 * torch.randn(16, 64, generator=torch.Generator().manual_seed(2))
    found = sparsegpt.prune(weight, statistics_of(inputs), MaskConfig(Pattern(keep=(2, 4))))
    assert bool((zeros_in_groups(found.weight.to(dtype), 4) >= 2).all())


def test_bad_input_ends_in_a_sentence() -> None:
    weight, hessian = problem(4, 34, seed=7)
    with pytest.raises(RequestError, match="groups of 4 do not divide"):
        sparsegpt.solve(weight, factorize(hessian), Pattern(keep=(2, 4)))
    with pytest.raises(RunFailed, match="NaN or Inf"):
        sparsegpt.solve(weight.index_fill(1, torch.tensor([3]), torch.nan), factorize(hessian), Pattern(0.5))
    with pytest.raises(RunFailed, match="magnitude pruning"):
        sparsegpt.prune(torch.randn(2, 8), _Hopeless(8), MaskConfig(Pattern(0.5)))


class _Hopeless(type(statistics_of(torch.ones(2, 8)))):  # type: ignore[misc]
    """Statistics whose Hessian no damping mends."""

    @property
    def hessian(self) -> Tensor:
        return torch.eye(8) - 100 * torch.ones(8, 8) + 99.5 * torch.eye(8)


def test_the_factor_is_shared() -> None:
    statistics = statistics_of(correlated_inputs(300, 64, seed=1))
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(2))
    first = sparsegpt.prune(weight, statistics, MaskConfig(Pattern(0.5)))
    kept: Factor = statistics.once(("sparsegpt", 0.01), lambda: pytest.fail("the factor was not kept"))
    assert torch.equal(sparsegpt.solve(weight, kept, Pattern(0.5)).weight, first.weight)

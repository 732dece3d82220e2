"""Least squares on what is kept, against float64 normal equations solved row by row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import RunFailed
from core.prune.weights import refit as module
from core.prune.weights import sparsegpt
from core.prune.weights.config import MaskConfig
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern
from core.prune.weights.refit import column_losses, normalize, on_support, output_error, refit
from tests.core.prune.weights.problems import correlated_inputs, damped, objective, problem, statistics_of


def by_normal_equations(weight: Tensor, removed: Tensor, hessian: Tensor) -> Tensor:
    result = torch.zeros_like(weight, dtype=torch.float64)
    for row, gone in enumerate(removed):
        kept = (~gone).nonzero().flatten()
        result[row, kept] = torch.linalg.solve(hessian[kept][:, kept], hessian[kept] @ weight[row].double())
    return result


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from([(1, 8), (7, 24), (16, 96)]), share=st.floats(0, 0.95), scope=st.sampled_from(["row", "matrix"]), seed=st.integers(0, 10**6)
)
def test_equals_the_normal_equations(shape: tuple[int, int], share: float, scope: str, seed: int) -> None:
    weight, hessian = problem(*shape, seed)
    removed = choose(weight.abs(), Pattern(share, scope=scope))  # type: ignore[arg-type]
    found = refit(weight, removed, hessian, damp=0.01)
    full = damped(hessian, 0.01)
    best = objective(weight, by_normal_equations(weight, removed, full), full)
    assert bool((found[removed] == 0).all())
    assert best * (1 - 1e-5) - 1e-6 <= objective(weight, found, full) <= best * 1.01 + 1e-6


def test_converges_to_the_normal_equations() -> None:
    weight, hessian = problem(9, 64, seed=1)
    removed = choose(weight.abs(), Pattern(0.5))
    normalized = normalize(hessian, 0.01)
    target = weight * normalized.norms
    found = on_support(target, target, removed, normalized.gram, steps=400, tolerance=0) / normalized.norms
    torch.testing.assert_close(found.double(), by_normal_equations(weight, removed, damped(hessian, 0.01)), rtol=1e-3, atol=1e-3)


def test_what_it_starts_at_only_gets_better() -> None:
    inputs = correlated_inputs(400, 96, seed=3)
    weight = torch.randn(16, 96, generator=torch.Generator().manual_seed(4))
    statistics = statistics_of(inputs)
    start = sparsegpt.prune(weight, statistics, MaskConfig(Pattern(0.6)))
    full = damped(statistics.hessian, 0.01)
    errors = [objective(weight, start.weight, full)]
    errors += [
        objective(weight, refit(weight, start.removed, statistics.hessian, start=start.weight, steps=steps), full) for steps in (1, 3, 10, 100)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.8 * errors[0]


def test_nothing_removed_leaves_the_weight() -> None:
    weight, hessian = problem(4, 32, seed=5)
    torch.testing.assert_close(refit(weight, torch.zeros_like(weight, dtype=torch.bool), hessian), weight)


def test_everything_removed_leaves_nothing() -> None:
    weight, hessian = problem(4, 32, seed=5)
    assert not bool(refit(weight, torch.ones_like(weight, dtype=torch.bool), hessian).any())


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    weight, hessian = problem(4, 32, seed=6)
    hessian[3], hessian[:, 3] = 0, 0
    removed = choose(weight.abs(), Pattern(0.5))
    found = refit(weight, removed, hessian)
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found[:, 3], weight[:, 3].masked_fill(removed[:, 3], 0), rtol=1e-5, atol=1e-6)


def test_rows_are_solved_in_parts_and_arguments_left_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, hessian = problem(11, 32, seed=7)
    removed = choose(weight.abs(), Pattern(0.5))
    before = weight.clone(), removed.clone(), hessian.clone()
    whole = refit(weight, removed, hessian, steps=60)
    monkeypatch.setattr(module, "_ROWS", 4)
    torch.testing.assert_close(refit(weight, removed, hessian, steps=60), whole, rtol=2e-2, atol=2e-2)
    assert all(torch.equal(one, other) for one, other in zip(before, (weight, removed, hessian), strict=True))


def test_a_hessian_with_nan_is_refused() -> None:
    weight, hessian = problem(4, 32, seed=8)
    hessian[2, 2] = torch.nan
    with pytest.raises(RunFailed, match="NaN or Inf"):
        refit(weight, weight > 0, hessian)


def test_errors_are_those_of_the_outputs() -> None:
    inputs = correlated_inputs(500, 24, seed=9)
    hessian = 2 / 500 * inputs.t() @ inputs
    difference = torch.randn(5, 24, generator=torch.Generator().manual_seed(10))
    assert output_error(difference, hessian) == pytest.approx(float((inputs @ difference.t()).square().sum() / 500), rel=1e-4)
    assert float(column_losses(difference, hessian).sum()) == pytest.approx(output_error(difference, hessian), rel=1e-4)

"""Least squares against numpy, and the surgeon's choice against all choices."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.calibration.cholesky import NotPositiveDefinite
from core.errors import RunFailed
from core.prune.structure.inputs.compensation import damped, eliminate_, inverse_of, least_costly, refit, unit_errors
from core.prune.structure.inputs.slices import columns_of, others


def problem(rows: int, columns: int, seed: int, tokens: int = 400) -> tuple[Tensor, Tensor, Tensor]:
    """(weight, inputs, Hessian) with inputs that depend on each other."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(tokens, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    return torch.randn(rows, columns, generator=generator), inputs, 2 / tokens * inputs.t() @ inputs


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 6), st.data())
def test_refit_is_ridge_towards_the_original(seed: int, columns: int, rows: int, data: st.DataObject) -> None:
    weight, inputs, hessian = problem(rows, columns, seed)
    kept = torch.tensor(sorted(data.draw(st.sets(st.integers(0, columns - 1), min_size=1, max_size=columns))))
    removed = others(kept, columns)
    found = refit(weight, hessian, kept, removed, 0.01)
    penalty = np.sqrt(0.01 * float(hessian.diagonal().mean()) * len(inputs) / 2)
    left = np.vstack([inputs[:, kept].double().numpy(), penalty * np.eye(len(kept))])
    right = np.vstack([(inputs @ weight.t()).double().numpy(), penalty * weight[:, kept].t().double().numpy()])
    expected = np.linalg.lstsq(left, right, rcond=None)[0].T
    assert np.allclose(found.numpy(), expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3]))
def test_unit_errors_are_what_is_left_after_the_refit(seed: int, size: int) -> None:
    weight, _, hessian = problem(3, 6, seed)
    matrix = damped(hessian, 0.01)
    errors = unit_errors(weight, inverse_of(hessian, 0.01), size)
    for unit in range(6 // size):
        removed = columns_of(torch.tensor([unit]), size)
        kept = others(removed, 6)
        difference = -weight.clone()
        difference[:, kept] += refit(weight, hessian, kept, removed, 0.01)
        assert float(((difference @ matrix) * difference).sum()) == pytest.approx(float(errors[unit]), rel=2e-3)


@pytest.mark.parametrize("size", [1, 2])
def test_elimination_is_the_refit_done_step_by_step(size: int) -> None:
    weight, _, hessian = problem(4, 8, 3)
    inverse, left = inverse_of(hessian, 0.01), weight.clone()
    for unit in (2, 0):
        eliminate_(left, inverse, columns_of(torch.tensor([unit]), size))
    removed = columns_of(torch.tensor([0, 2]), size)
    kept = others(removed, 8)
    assert torch.allclose(left[:, kept], refit(weight, hessian, kept, removed, 0.01), rtol=1e-3, atol=1e-3)
    assert not left[:, removed].any()


def cost(weight: Tensor, hessian: Tensor, removed: Tensor) -> float:
    """Squared error, with the damped Hessian, once the inputs are removed and made up for."""
    kept = others(removed, weight.shape[1])
    difference = -weight.clone()
    difference[:, kept] += refit(weight, hessian, kept, removed, 0.01)
    return float(((difference @ damped(hessian, 0.01)) * difference).sum())


def test_the_greedy_choice_is_near_the_best_of_all_choices_and_beats_one_shot() -> None:
    greedy = one_shot = best = 0.0
    for seed in range(20):
        weight, _, hessian = problem(3, 10, seed)
        order = least_costly(weight, inverse_of(hessian, 0.01), 1, 5, 1)
        greedy += np.log(cost(weight, hessian, order.sort().values))
        scores = unit_errors(weight, inverse_of(hessian, 0.01), 1)
        one_shot += np.log(cost(weight, hessian, scores.argsort()[:5].sort().values))
        best += np.log(min(cost(weight, hessian, torch.tensor(chosen)) for chosen in combinations(range(10), 5)))
    assert best <= greedy <= one_shot
    assert (greedy - best) / 20 < 0.25
    assert one_shot - greedy > 0.5 * (one_shot - best)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_units_are_removed_once_each(size: int, at_once: int) -> None:
    weight, _, hessian = problem(5, 24, size)
    order = least_costly(weight, inverse_of(hessian, 0.01), size, 24 // size - 1, at_once)
    assert len(set(order.tolist())) == len(order) == 24 // size - 1


def test_a_singular_hessian_is_damped_and_nan_is_refused() -> None:
    hessian = torch.ones(4, 4)
    assert torch.isfinite(inverse_of(hessian, 0.01)).all()
    with pytest.raises(NotPositiveDefinite, match="even with damping"):
        inverse_of(torch.full((4, 4), 1.0) - 200 * torch.eye(4).roll(1, 0) - 200 * torch.eye(4).roll(-1, 0), 0.0001)
    with pytest.raises(RunFailed, match="NaN"):
        inverse_of(hessian * float("nan"), 0.01)


def test_dead_inputs_are_free_to_remove() -> None:
    weight, inputs, _ = problem(3, 6, 1)
    inputs[:, 4] = 0
    hessian = 2 / len(inputs) * inputs.t() @ inputs
    removed = torch.tensor([4])
    kept = others(removed, 6)
    assert torch.allclose(refit(weight, hessian, kept, removed, 0.01), weight[:, kept])

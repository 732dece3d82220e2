"""Rows of 8 against the best of all 70 masks with exact least squares: how near each method comes, and that none comes nearer than possible."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from core.calibration.cholesky import factorize
from core.prune.weights import alps, sparsegpt, wanda
from core.prune.weights.exchange import exchange
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern
from core.prune.weights.refit import normalize, refit
from core.prune.weights.swaps import refine
from tests.core.prune.weights.problems import objective, problem

ROWS, COLUMNS, DAMP = 80, 8, 1e-6
HALF = Pattern(0.5)


def optimum(weight: Tensor, hessian: Tensor) -> float:
    """The least ½ tr(D H Dᵀ) with four zeros in each row: with P removed and K kept it is ½ w_P (H_PP - H_PK H_KK⁻¹ H_KP) w_Pᵀ."""
    full, values = hessian.double(), weight.double()
    best = torch.full((len(weight),), torch.inf, dtype=torch.float64)
    for gone in itertools.combinations(range(COLUMNS), COLUMNS // 2):
        kept = [index for index in range(COLUMNS) if index not in gone]
        removed = list(gone)
        inverse = torch.linalg.inv(full[kept][:, kept])
        left = full[removed][:, removed] - full[removed][:, kept] @ inverse @ full[kept][:, removed]
        best = torch.minimum(best, 0.5 * (values[:, removed] @ left * values[:, removed]).sum(dim=1))
    return float(best.sum())


def test_exchanges_and_alps_come_within_two_percent_of_the_optimum() -> None:
    total = dict.fromkeys(("optimum", "wanda", "sparsegpt", "swaps and re-fit", "swaps and exchanges", "alps"), 0.0)
    for seed in range(5):
        weight, hessian = problem(ROWS, COLUMNS, seed, tokens=200)
        wandas = choose(wanda.scores(weight, hessian.diagonal() / 2), HALF)
        swapped = refine(weight, wandas, hessian, HALF, swaps=500).removed
        found = {
            "wanda": weight.masked_fill(wandas, 0),
            "sparsegpt": sparsegpt.solve(weight, factorize(hessian, damp=DAMP), HALF).weight,
            "swaps and re-fit": refit(weight, swapped, hessian, damp=DAMP),
            "swaps and exchanges": exchange(weight, swapped, normalize(hessian, DAMP), HALF, swaps=100).weight,
            "alps": alps.solve(weight, alps.decompose(hessian, DAMP), HALF).weight,
        }
        best = optimum(weight, hessian)
        total["optimum"] += best
        for name, result in found.items():
            assert bool(((result == 0).sum(dim=1) >= COLUMNS // 2).all()), name
            error = objective(weight, result, hessian)
            assert error >= best * (1 - 1e-4), name
            total[name] += error
    near = {name: error / total["optimum"] for name, error in total.items()}
    assert near["swaps and exchanges"] < 1.02, near
    assert near["alps"] < 1.02, near
    assert near["swaps and exchanges"] < near["swaps and re-fit"] < near["wanda"], near
    assert near["sparsegpt"] > 1.02, near

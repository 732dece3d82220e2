"""The GPTQ solver against a brute-force reading of the paper, and against its own exact identity."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calibration.cholesky import factorize
from core.errors import RunFailed
from core.numerics.grid import Grid
from core.quantize.gptq import solve
from core.quantize.linear import rtn
from tests.core.quantize.by_hessian import gptq


def problem(rows: int, columns: int, seed: int, tokens: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.eye(columns) + 0.3 * torch.randn(columns, columns, generator=generator)
    inputs = torch.randn(tokens or 4 * columns, columns, generator=generator) @ mix
    return torch.randn(rows, columns, generator=generator), 2 / len(inputs) * inputs.t() @ inputs


def damped(hessian: torch.Tensor, damp: float) -> torch.Tensor:
    return hessian.double() + damp * hessian.diagonal().double().mean() * torch.eye(len(hessian), dtype=torch.float64)


def by_the_paper(weight: torch.Tensor, hessian: torch.Tensor, grid: Grid, damp: float, order: torch.Tensor) -> torch.Tensor:
    """Equations 2 and 3 of arXiv 2210.17323 literally: after each column, drop it from the inverse of the remaining Hessian."""
    work, result = weight.double().clone(), torch.zeros_like(weight, dtype=torch.float64)
    full, remaining = damped(hessian, damp), order.tolist()
    span = grid.span(weight.shape[1])
    scales, zeros = torch.empty(0), None
    for position, column in enumerate(order.tolist()):
        inverse = torch.linalg.inv(full[remaining][:, remaining])
        if position % span == 0:
            scales, zeros = grid.fit(work[:, order[position : position + span]].float(), dim=1)
        rounded = grid.decode(grid.encode(work[:, [column]].float(), scales, zeros), scales, zeros)[:, 0].double()
        result[:, column] = rounded
        work[:, remaining] -= torch.outer((work[:, column] - rounded) / inverse[0, 0], inverse[0])
        remaining = remaining[1:]
    return result


def objective(weight: torch.Tensor, other: torch.Tensor, hessian: torch.Tensor) -> float:
    difference = (other - weight).double()
    return float((difference @ hessian.double() * difference).sum())


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("group_size", "columns"), [(8, 40), (16, 48), (24, 48), (32, 96), (None, 40)])
def test_equals_the_paper(group_size: int | None, columns: int, symmetric: bool, act_order: bool) -> None:
    weight, hessian = problem(6, columns, seed=columns)
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True) if act_order else torch.arange(columns)
    expected = by_the_paper(weight, hessian, Grid(4, symmetric, "group", group_size or columns), 0.01, order)
    found = gptq(weight, hessian, bits=4, group_size=group_size, symmetric=symmetric, act_order=act_order)
    different = (found.dequantize() - expected).abs() > 1e-4
    assert different.float().mean() < 0.02, "float32 may tip a tie in a row, not more"
    assert objective(weight, found.dequantize(), hessian) == pytest.approx(objective(weight, expected, hessian), rel=0.02)


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(2, 8),
    shape=st.sampled_from([(5, 64, 8), (3, 96, 24), (16, 160, 32), (8, 256, 128), (4, 300, 100), (8, 512, 256), (7, 130, None)]),
    symmetric=st.booleans(),
    act_order=st.booleans(),
    static=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_losses_sum_to_half_the_damped_objective(
    bits: int, shape: tuple[int, int, int | None], symmetric: bool, act_order: bool, static: bool, seed: int
) -> None:
    rows, columns, group_size = shape
    weight, hessian = problem(rows, columns, seed)
    found = gptq(
        weight, hessian, bits=bits, group_size=group_size, symmetric=symmetric, act_order=act_order, static_groups=static, scale_dtype=torch.bfloat16
    )
    assert found.losses is not None
    assert found.dequantize().shape == weight.shape
    assert float(found.losses.double().sum()) == pytest.approx(0.5 * objective(weight, found.dequantize(), damped(hessian, 0.01)), rel=1e-4)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group_size", [32, 128, None])
def test_beats_rounding_on_its_own_objective(bits: int, group_size: int | None) -> None:
    weight, hessian = problem(64, 256, seed=bits)
    nearest = rtn.quantize(weight, None, Grid(bits, True, "group" if group_size else "channel", group_size or 256))
    found = gptq(weight, hessian, bits=bits, group_size=group_size)
    assert objective(weight, found.dequantize(), hessian) < 0.9 * objective(weight, nearest.dequantize(), hessian)


def test_an_uncorrelated_input_makes_it_round_to_nearest() -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    found = gptq(weight, torch.eye(64), group_size=16)
    assert torch.equal(found.codes, rtn.quantize(weight, None, Grid(4, group_size=16)).codes)


def test_static_groups_are_neighbours_and_others_follow_the_order() -> None:
    weight, hessian = problem(8, 64, seed=3)
    static = gptq(weight, hessian, group_size=16, act_order=True, static_groups=True)
    moving = gptq(weight, hessian, group_size=16, act_order=True)
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    assert static.sequential
    assert moving.group_index.tolist() == (torch.argsort(order) // 16).tolist()
    assert not moving.sequential
    assert moving.nbytes == static.nbytes + 4 * 64


def test_inputs_that_are_always_zero_lose_their_column() -> None:
    weight, hessian = problem(8, 64, seed=4)
    hessian[5], hessian[:, 5] = 0, 0
    found = gptq(weight, hessian, group_size=16)
    assert bool((found.dequantize()[:, 5] == 0).all())
    assert bool(torch.isfinite(found.dequantize()).all())


def test_damping_is_raised_and_said_when_the_hessian_is_not_positive_definite() -> None:
    weight, hessian = problem(4, 32, seed=5)
    values, vectors = torch.linalg.eigh(hessian)
    bad = hessian - (values[0] + 0.02 * hessian.diagonal().mean()) * torch.outer(vectors[:, 0], vectors[:, 0])
    found = gptq(weight, bad, group_size=16, damp=1e-3)
    assert "damping was raised from 0.001 to 0.1" in found.notes[0]
    assert bool(torch.isfinite(found.dequantize()).all())


def test_a_singular_hessian_from_few_tokens_is_solved() -> None:
    weight, hessian = problem(4, 128, seed=6, tokens=5)
    found = gptq(weight, hessian, group_size=32)
    assert found.notes == ()
    assert objective(weight, found.dequantize(), hessian) < objective(weight, rtn.quantize(weight, None, Grid(group_size=32)).dequantize(), hessian)


def test_a_hopeless_hessian_ends_in_a_sentence() -> None:
    with pytest.raises(RunFailed, match="use rtn"):
        gptq(torch.randn(2, 8), torch.eye(8) - 100 * torch.ones(8, 8) + 99.5 * torch.eye(8), group_size=8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(value: float) -> None:
    weight, hessian = problem(4, 32, seed=7)
    with pytest.raises(RunFailed, match="NaN or Inf"):
        gptq(weight.index_fill(1, torch.tensor([3]), value), hessian, group_size=16)
    hessian[2, 2] = value
    with pytest.raises(RunFailed, match="calibration inputs"):
        gptq(weight, hessian, group_size=16)


def test_arguments_are_left_unchanged() -> None:
    weight, hessian = problem(4, 32, seed=8)
    before = weight.clone(), hessian.clone()
    gptq(weight, hessian, group_size=16, act_order=True)
    assert torch.equal(weight, before[0])
    assert torch.equal(hessian, before[1])


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("group_size", "static"), [(8, False), (24, False), (32, False), (32, True), (None, False)])
def test_kept_zeros_stay_zero_and_the_rest_makes_up_for_them(group_size: int | None, static: bool, symmetric: bool, act_order: bool) -> None:
    weight, hessian = problem(16, 96, seed=20)
    removed = torch.rand(16, 96, generator=torch.Generator().manual_seed(21)) < 0.5
    factor, grid = factorize(hessian, by_diagonal=act_order), Grid(4, symmetric, "group" if group_size else "channel", group_size or 96)
    joint = solve(weight, factor, grid, static_groups=static, keep_zeros=removed)
    assert bool((joint.dequantize()[removed] == 0).all())
    assert joint.losses is not None
    assert float(joint.losses.double().sum()) == pytest.approx(0.5 * objective(weight, joint.dequantize(), damped(hessian, 0.01)), rel=1e-4)
    plain = solve(weight, factor, grid, static_groups=static).dequantize().masked_fill(removed, 0)
    assert objective(weight, joint.dequantize(), hessian) < 0.9 * objective(weight, plain, hessian)


def test_no_kept_zeros_change_nothing() -> None:
    weight, hessian = problem(8, 64, seed=22)
    factor, grid = factorize(hessian), Grid(4, group_size=16)
    assert torch.equal(solve(weight, factor, grid, keep_zeros=torch.zeros(8, 64, dtype=torch.bool)).codes, solve(weight, factor, grid).codes)

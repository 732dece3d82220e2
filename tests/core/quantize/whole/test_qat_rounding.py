"""Rounding that a gradient passes: its values against the grid, its gradients against the formulas of the papers, element by element."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.calibration.statistics import InputStatistics
from core.numerics.grid import Grid
from core.quantize import gptq
from core.quantize.linear import rtn
from core.quantize.whole.qat_rounding import RoundedWeight

GRIDS = [
    Grid(4, True, "channel"),
    Grid(4, False, "channel", clipping="mse", scale_dtype=torch.bfloat16),
    Grid(2, True, "group", 8, scale_dtype=torch.float16),
    Grid(3, False, "group", 16, "mse"),
    Grid(8, True, "tensor", scale_dtype=torch.bfloat16),
    Grid(5, False, "tensor"),
]


def weight_of(seed: int) -> torch.Tensor:
    return torch.randn(6, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_begins_as_rounding_to_nearest(grid: Grid) -> None:
    weight = weight_of(0)
    module = RoundedWeight(weight, grid)
    expected = rtn.quantize(weight, None, grid)
    found = module.quantized(module.right_inverse(weight))
    assert torch.equal(found.scales, expected.scales)
    assert float((found.codes != expected.codes).float().mean()) < 0.04, "the largest weight of a symmetric grid is a tie"
    assert found.nbytes == expected.nbytes


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_can_begin_at_another_rounding(grid: Grid) -> None:
    """GPTQ's result goes in and comes out as it was."""
    inputs = torch.randn(200, 32, generator=torch.Generator().manual_seed(1)) @ (torch.eye(32) + 0.3)
    statistics = InputStatistics(32)
    statistics.add(inputs)
    first = gptq.quantize(weight_of(0), statistics, gptq.GptqConfig(grid))
    module = RoundedWeight(weight_of(0), grid)
    module.begin_at(first)
    again = module.quantized(module.right_inverse(first.dequantize()))
    assert torch.equal(again.codes, first.codes)
    assert torch.equal(again.dequantize(), first.dequantize())


@given(index=st.integers(0, len(GRIDS) - 1), seed=st.integers(0, 10**6), moved=st.floats(-3, 3))
def test_what_is_trained_is_what_is_stored(index: int, seed: int, moved: float) -> None:
    grid, weight = GRIDS[index], weight_of(seed)
    module = RoundedWeight(weight, grid)
    with torch.no_grad():
        module.log_scales.add_(moved * torch.randn(module.log_scales.shape, generator=torch.Generator().manual_seed(seed)))
    trained = module.right_inverse(weight + 0.1 * weight_of(seed + 1))
    stored = module.quantized(trained)
    assert torch.equal(module(trained), stored.dequantize())
    assert int(stored.codes.min()) >= grid.lowest
    assert int(stored.codes.max()) <= grid.highest
    assert stored.scales.dtype == grid.scale_dtype


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_gradients_are_those_of_the_papers(grid: Grid) -> None:
    module = RoundedWeight(weight_of(4), grid)
    steps = module.right_inverse(1.5 * weight_of(3)).requires_grad_()
    first = module.first_scales.expand(6, 32 // grid.span(32), grid.span(32)).reshape(6, 32)
    weight = steps.detach() * first
    upstream = weight_of(5)
    (module(steps) * upstream).sum().backward()
    span, zeros = grid.span(32), module.zeros
    expected_weight, expected_scales = torch.zeros_like(weight), torch.zeros(module.log_scales.shape, dtype=torch.float64)
    scales = module.scales().detach().double()
    for row in range(6):
        for column in range(32):
            place = (0, 0) if grid.granularity == "tensor" else (row, column // span)
            scale = float(scales[place])
            zero = 0.0 if zeros is None else float(zeros[place])
            position = float(weight[row, column]) / scale + zero
            inside = grid.lowest <= position <= grid.highest
            if inside:
                expected_weight[row, column] = upstream[row, column]
            code = min(max(round(position), grid.lowest), grid.highest)
            slope = code - zero - ((position - zero) if inside else 0.0)
            groups = scales.shape[1]
            expected_scales[place[0] * groups + place[1]] += float(upstream[row, column]) * slope * scale
    weights_a_scale = 6 * 32 / module.log_scales.numel()
    expected_scales /= (weights_a_scale * grid.highest) ** 0.5
    assert steps.grad is not None
    assert module.log_scales.grad is not None
    torch.testing.assert_close(steps.grad, expected_weight * first)
    torch.testing.assert_close(module.log_scales.grad.double(), expected_scales, rtol=1e-3, atol=1e-4)


def test_answers_as_the_original_when_told_to() -> None:
    weight = weight_of(7).bfloat16()
    module = RoundedWeight(weight.float(), Grid(2, True, "channel", scale_dtype=torch.bfloat16))
    module.rounding = False
    assert torch.equal(module(torch.zeros(6, 32)), weight.float())


def test_gradient_steps_find_better_weights_than_rounding() -> None:
    """Least squares of a linear's outputs, where the best grid point is not the nearest one."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 32, generator=generator) @ (torch.eye(32) + 0.4 * torch.randn(32, 32, generator=generator))
    weight = weight_of(9)
    module = RoundedWeight(weight, Grid(3, True, "channel", clipping="mse"))
    trained = module.right_inverse(weight).requires_grad_()

    def error() -> torch.Tensor:
        return (inputs @ (module(trained) - weight).t()).square().mean()

    before = float(error().detach())
    optimizer = torch.optim.Adam([{"params": [trained], "lr": 5e-3}, {"params": [module.log_scales], "lr": 2e-2}])
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 200)
    for _ in range(200):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
        decay.step()
    assert float(error().detach()) < 0.8 * before

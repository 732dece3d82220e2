"""Grids hold zero, cover their range, and are the grids of compressed-tensors."""

import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.utils import calculate_qparams
from hypothesis import given, settings
from hypothesis import strategies as st

from core.numerics.grid import Grid

widths = st.integers(2, 8)


def rows(seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(4, 32, generator=torch.Generator().manual_seed(seed)) * scale + shift


@settings(max_examples=50, deadline=None)
@given(bits=widths, symmetric=st.booleans(), seed=st.integers(0, 2**31), shift=st.floats(-3, 3))
def test_scales_and_zeros_equal_those_of_compressed_tensors(bits: int, symmetric: bool, seed: int, shift: float) -> None:
    values = rows(seed, shift)
    scales, zeros = Grid(bits, symmetric).fit(values, dim=1)
    arguments = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="channel")
    expected_scales, expected_zeros = calculate_qparams(values.amin(1, keepdim=True), values.amax(1, keepdim=True), arguments)
    torch.testing.assert_close(scales, expected_scales)
    if zeros is not None:
        assert torch.equal(zeros, expected_zeros.float())


@settings(max_examples=50, deadline=None)
@given(bits=widths, seed=st.integers(0, 2**31), shift=st.floats(-20, 20))
def test_asymmetric_rounding_errs_by_at_most_a_step_even_for_rows_of_one_sign(bits: int, seed: int, shift: float) -> None:
    values, grid = rows(seed, shift), Grid(bits, symmetric=False)
    scales, zeros = grid.fit(values, dim=1)
    assert zeros is not None
    error = (grid.decode(grid.encode(values, scales, zeros), scales, zeros) - values).abs()
    assert bool((error <= scales * 1.001).all())
    assert bool(((zeros >= grid.lowest) & (zeros <= grid.highest)).all())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_zero_stays_exactly_zero_and_an_empty_group_is_harmless(bits: int, symmetric: bool) -> None:
    grid = Grid(bits, symmetric)
    values = torch.zeros(3, 16)
    values[1, 3] = 1.5
    scales, zeros = grid.fit(values, dim=1)
    restored = grid.decode(grid.encode(values, scales, zeros), scales, zeros)
    assert bool(torch.isfinite(restored).all())
    assert bool((restored[values == 0] == 0).all())


@settings(max_examples=30, deadline=None)
@given(bits=widths, symmetric=st.booleans(), seed=st.integers(0, 2**31))
def test_mse_clipping_never_has_more_squared_error_than_absmax(bits: int, symmetric: bool, seed: int) -> None:
    values = rows(seed)
    values[0, 0] = 12.0

    def squared(clipping: str) -> torch.Tensor:
        grid = Grid(bits, symmetric, clipping=clipping)  # type: ignore[arg-type]
        scales, zeros = grid.fit(values, dim=1)
        return (grid.decode(grid.encode(values, scales, zeros), scales, zeros) - values).square().sum(1)

    assert bool((squared("mse") <= squared("absmax") * 1.0001).all())


def test_symmetric_four_bit_scale_is_absmax_over_seven_and_a_half() -> None:
    scales, zeros = Grid(4).fit(torch.tensor([[3.0, -15.0, 1.0]]), dim=1)
    assert zeros is None
    assert scales.item() == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scales_lose_nothing_when_stored(dtype: torch.dtype) -> None:
    scales, _ = Grid(4, scale_dtype=dtype).fit(rows(1, scale=1e-9), dim=1)
    assert torch.equal(scales.to(dtype).float(), scales)
    assert bool((scales > 0).all())


def test_one_scale_serves_the_whole_tensor() -> None:
    scales, _ = Grid(8, granularity="tensor").fit(rows(3), dim=1)
    assert len(set(scales.flatten().tolist())) == 1

"""NF4 against the published grid, against a plain search for the nearest value, and against a plain reading of its bytes."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.numerics.nf4 import NestedScales, dynamic_grid, nest, nf4_grid, quantize_nf4

PUBLISHED = [
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941),
    *(0.7229568362236023, 1.0),
]
"""The constants in bitsandbytes' source."""


def test_grid_computed_from_quantiles_is_the_published_one() -> None:
    assert torch.equal(nf4_grid(), torch.tensor(PUBLISHED))


def test_dynamic_grid_is_sorted_and_denser_near_zero() -> None:
    grid = dynamic_grid()
    assert grid.shape == (256,)
    assert torch.equal(grid, grid.sort().values)
    assert float(grid[-1]) == 1
    assert 0.0 in grid.tolist()
    assert len(set(grid.tolist())) == 256
    steps = grid.diff()
    assert float(steps[120:135].max()) < float(steps[:20].min())


@settings(max_examples=40)
@given(st.integers(1, 7), st.sampled_from([1, 3, 64, 65, 200]), st.integers(0, 2**31), st.booleans(), st.sampled_from([1e-30, 1e-6, 1.0, 1e6]))
def test_every_weight_goes_to_the_nearest_value_of_its_block(rows: int, columns: int, seed: int, nested: bool, size: float) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * size
    stored = quantize_nf4(weight, nested=nested, dtype=torch.bfloat16)
    assert stored.codes().shape == weight.shape == stored.shape
    values, codes, plain = weight.flatten(), stored.codes().flatten(), []
    for begin in range(0, len(values), 64):
        block = values[begin : begin + 64]
        scale = block.abs().max()
        best = (block[:, None] / scale - nf4_grid()[None]).abs().min(dim=1).values
        mine = (block / scale - nf4_grid()[codes[begin : begin + 64].long()]).abs()
        assert torch.allclose(mine, best, atol=1e-6)
        plain.append(nf4_grid()[codes[begin : begin + 64].long()] * stored.block_scales()[begin // 64])
    assert torch.equal(stored.dequantize(), torch.cat(plain).view(rows, columns))


def test_zero_blocks_stay_zero() -> None:
    for nested in (False, True):
        weight = torch.zeros(4, 64)
        assert torch.equal(quantize_nf4(weight, nested=nested, dtype=torch.bfloat16).dequantize(), weight)


def test_first_code_stands_in_the_upper_half_of_a_byte() -> None:
    stored = quantize_nf4(torch.tensor([[1.0, -1.0, 0.0, 1.0]]), nested=False, dtype=torch.float32)
    assert stored.packed.tolist() == [[0xF0], [0x7F]]


@given(st.integers(1, 1200), st.integers(0, 2**31))
def test_nested_scales_are_close_and_cost_an_eighth(blocks: int, seed: int) -> None:
    scales = torch.rand(blocks, generator=torch.Generator().manual_seed(seed)) * 0.1 + 0.05
    nested = nest(scales)
    assert isinstance(nested, NestedScales)
    assert nested.absmax.shape == (-(-blocks // 256),)
    assert float((nested.dequantize() - scales).abs().max()) <= 0.02 * float((scales - nested.offset).abs().max()) + 1e-7


@pytest.mark.parametrize("nested", [False, True])
def test_bytes_are_those_of_the_parts(nested: bool) -> None:
    stored = quantize_nf4(torch.randn(96, 256), nested=nested, dtype=torch.bfloat16)
    blocks = 96 * 256 // 64
    scales = blocks + 4 * -(-blocks // 256) + 4 * 256 if nested else 4 * blocks
    assert stored.nbytes == 96 * 256 // 2 + scales + 4 * 16 + len(json.dumps(stored.state))
    assert stored.state["shape"] == [96, 256]

"""Grids of the cache against loops over single values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.kvcache.storage.affine import by_channels, by_tokens, quantize_range, quantize_symmetric

values = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=40)


@given(values, st.sampled_from([2, 4, 8]))
def test_range_grid_against_a_loop(numbers: list[float], bits: int) -> None:
    codes, scales, lowest = quantize_range(torch.tensor([numbers]), -1, bits)
    scale, low = float(scales), float(lowest)
    assert low == float(torch.tensor(min(numbers)).half())
    assert scale == float(torch.tensor(max((max(numbers) - low) / (2**bits - 1), 2.0**-24)).half())
    for number, code in zip(numbers, codes[0].tolist(), strict=True):
        assert 0 <= code < 2**bits
        nearest = min(max((number - low) / scale, 0), 2**bits - 1)
        assert abs(code - nearest) <= 0.5 + 1e-4
        assert math.isfinite(code * scale + low)


@given(values, st.sampled_from([4, 8]))
def test_symmetric_grid_against_a_loop(numbers: list[float], bits: int) -> None:
    codes, scales = quantize_symmetric(torch.tensor([numbers]), bits)
    scale, highest = float(scales), 2 ** (bits - 1) - 1
    assert scale == pytest.approx(max(max(map(abs, numbers)) / highest, 2.0**-24), rel=2**-10, abs=2**-24)
    for number, code in zip(numbers, codes[0].tolist(), strict=True):
        assert abs(code) <= highest
        assert abs(code * scale - number) <= scale / 2 + abs(number) * 2**-9 + highest * 2**-24


@pytest.mark.parametrize("number", [0.0, 5.0, -3.25, 1e-30, 60000.0, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_constant_group_stays_a_number(number: float, dtype: torch.dtype) -> None:
    group = torch.full((1, 32), number, dtype=dtype)
    codes, scales, lowest = quantize_range(group, -1, 2)
    restored = codes * scales.float() + lowest.float()
    assert restored.isfinite().all()
    if abs(number) < 60001:
        torch.testing.assert_close(restored, group.float(), rtol=2**-10, atol=2**-14)
    symmetric, scale = quantize_symmetric(group, 8)
    assert (symmetric * scale.float()).isfinite().all()


def test_groups_are_runs_of_channels_and_of_tokens() -> None:
    states = torch.arange(2 * 6 * 4.0).view(2, 6, 4)
    expected_channels: list[Tensor] = [states[0, 3, 2:4]]
    assert torch.equal(by_channels(states, 2)[0, 3, 1], expected_channels[0])
    assert torch.equal(by_tokens(states, 3)[1, 1, :, 2], states[1, 3:6, 2])

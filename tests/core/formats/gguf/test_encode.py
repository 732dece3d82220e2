"""Bytes of plain types and of Q8_0, against the gguf package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, quantize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.formats.gguf.encode import decode_q8_0, encode

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)


def theirs(values: np.ndarray, block: str) -> bytes:
    return quantize(values, GGMLQuantizationType[block]).tobytes()


@settings(max_examples=200)
@given(arrays(np.float32, st.tuples(st.integers(1, 3), st.sampled_from([32, 64, 96])), elements=FLOATS))
def test_q8_0_is_bit_for_bit_that_of_the_gguf_package(values: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        assert encode(torch.from_numpy(values.copy()), "Q8_0").numpy().tobytes() == theirs(values, "Q8_0")


def test_halves_are_rounded_away_from_zero_and_their_neighbours_are_not() -> None:
    halves = np.arange(-126.5, 127, 1, dtype=np.float32)
    values = np.concatenate([halves, np.nextafter(halves, np.float32(-np.inf)), np.nextafter(halves, np.float32(np.inf))])
    rows = np.full((len(values), 32), 127, dtype=np.float32)
    rows[:, 1] = values
    codes = encode(torch.from_numpy(rows), "Q8_0").view(-1, 34)[:, 3].view(torch.int8).numpy()
    assert np.array_equal(codes, np.trunc(np.abs(values.astype(np.float64)) + 0.5) * np.sign(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("block", ["F32", "F16", "BF16", "Q8_0"])
def test_many_runs_make_the_same_bytes_as_one_array(block: str, dtype: torch.dtype) -> None:
    values = torch.randn(700, 96, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = encode(values, block)
    assert found.numpy().tobytes() == theirs(values.float().numpy(), block)


def test_q8_0_comes_back_within_half_a_step() -> None:
    values = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    steps = values.view(-1, 32).abs().amax(dim=1) / 127
    difference = (decode_q8_0(encode(values, "Q8_0")).view(-1, 32) - values.view(-1, 32)).abs().amax(dim=1)
    assert bool((difference <= 0.51 * steps + 127 * 2**-11 * steps).all())

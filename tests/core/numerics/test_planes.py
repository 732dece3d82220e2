"""Codes in planes: dense, exact, the same bits as the packer of checkpoints once the codes are put in its order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.numerics.packing import pack
from core.numerics.planes import pack_planes, plane_bytes, unpack_planes


@given(st.sampled_from([2, 4, 8]), st.integers(1, 70), st.integers(1, 3), st.integers(0, 2**31))
def test_unpacking_undoes_packing(bits: int, width: int, rows: int, seed: int) -> None:
    codes = torch.randint(0, 1 << bits, (rows, 2, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    packed = pack_planes(codes, bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (rows, 2, plane_bytes(width, bits))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        out = torch.full(codes.shape, torch.nan, dtype=dtype)
        assert torch.equal(unpack_planes(packed, bits, out), codes.to(dtype))


@pytest.mark.parametrize("bits", [2, 4])
def test_the_bytes_are_those_of_the_other_packer_with_the_runs_interleaved(bits: int) -> None:
    width = 64
    codes = torch.randint(0, 1 << bits, (5, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(bits))
    interleaved = codes.view(5, 8 // bits, -1).transpose(1, 2).reshape(5, width)
    words = pack((interleaved.to(torch.int16) - (1 << (bits - 1))).to(torch.int8), bits)
    assert torch.equal(pack_planes(codes, bits), words.view(torch.uint8))


def test_writes_into_a_part_of_a_larger_buffer() -> None:
    codes = torch.randint(0, 16, (2, 3, 8), dtype=torch.uint8)
    buffer = torch.zeros(2, 5, 8)
    unpack_planes(pack_planes(codes, 4), 4, buffer[:, 1:4])
    assert torch.equal(buffer[:, 1:4], codes.float())
    assert not buffer[:, 0].any()
    assert not buffer[:, 4].any()

"""Codes in bytes: dense, exact, the same bits as the packer of checkpoints writes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.numerics.packed.byte_codes import pack_bytes, unpack_bytes
from core.numerics.packed.words import pack


@given(st.sampled_from([2, 4, 8]), st.integers(1, 70), st.integers(1, 3), st.integers(0, 2**31))
def test_unpacking_undoes_packing(bits: int, width: int, rows: int, seed: int) -> None:
    codes = torch.randint(0, 1 << bits, (rows, 2, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    packed = pack_bytes(codes, bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (rows, 2, -(-width * bits // 8))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        out = torch.full(codes.shape, torch.nan, dtype=dtype)
        assert torch.equal(unpack_bytes(packed, bits, out), codes.to(dtype))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_bytes_are_those_of_the_packer_of_checkpoints(bits: int) -> None:
    codes = torch.randint(0, 1 << bits, (5, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(bits))
    words = pack((codes.to(torch.int16) - (1 << (bits - 1))).to(torch.int8), bits)
    assert torch.equal(pack_bytes(codes, bits), words.view(torch.uint8))


def test_writes_into_a_part_of_a_larger_buffer() -> None:
    codes = torch.randint(0, 16, (2, 3, 8), dtype=torch.uint8)
    buffer = torch.zeros(2, 5, 8)
    unpack_bytes(pack_bytes(codes, 4), 4, buffer[:, 1:4])
    assert torch.equal(buffer[:, 1:4], codes.float())
    assert not buffer[:, 0].any()
    assert not buffer[:, 4].any()

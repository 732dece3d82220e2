"""Packed words are what compressed-tensors reads, for every width."""

import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from hypothesis import given, settings
from hypothesis import strategies as st

from core.numerics.packed import words as packing
from core.numerics.packed.words import pack, unpack
from core.numerics.widths import packed_words

widths = st.integers(2, 8)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 100))


def codes_of(bits: int, shape: tuple[int, int], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(1 << (bits - 1)), 1 << (bits - 1), shape, generator=generator, dtype=torch.int64).to(torch.int8)


@settings(max_examples=60, deadline=None)
@given(bits=widths, shape=shapes, seed=st.integers(0, 2**31))
def test_words_equal_those_of_compressed_tensors(bits: int, shape: tuple[int, int], seed: int) -> None:
    codes = codes_of(bits, shape, seed)
    words = pack(codes, bits)
    assert torch.equal(words, pack_to_int32(codes, bits))
    assert words.shape[1] == packed_words(shape[1], bits)


@settings(max_examples=60, deadline=None)
@given(bits=widths, shape=shapes, seed=st.integers(0, 2**31))
def test_unpack_undoes_pack(bits: int, shape: tuple[int, int], seed: int) -> None:
    codes = codes_of(bits, shape, seed)
    words = pack(codes, bits)
    assert torch.equal(unpack(words, bits, shape[1]), codes)
    assert torch.equal(unpack(words, bits, shape[1]), unpack_from_int32(words, bits, torch.Size(shape)))


def test_first_value_is_in_the_lowest_bits() -> None:
    codes = torch.tensor([[-8, -7, -6, -5, -4, -3, -2, 7]], dtype=torch.int8)
    assert int(pack(codes, 4).item()) & 0xFFFFFFFF == 0xF6543210


def test_many_rows_are_packed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.randint(-4, 4, (37, 50), dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    whole = pack(codes, 3)
    monkeypatch.setattr(packing, "_AT_ONCE", 200)
    assert torch.equal(pack(codes, 3), whole)
    assert torch.equal(unpack(whole, 3, 50), codes)

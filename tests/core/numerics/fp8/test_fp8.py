"""8-bit floats against torch's own on every bfloat16 value and every code, and against the specification's figures."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.numerics.fp8.codec import E4M3, E5M2, FP8_FORMATS, Fp8Format, cast, decode_into
from tests.core.numerics.fp8.reference import decode, encode, smallest_normal

EVERY_BFLOAT16 = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
BOTH = pytest.mark.parametrize("kind", FP8_FORMATS.values(), ids=FP8_FORMATS)


@BOTH
def test_cast_of_every_bfloat16_equals_torchs(kind: Fp8Format) -> None:
    expected = torch.where(EVERY_BFLOAT16.isnan(), EVERY_BFLOAT16, EVERY_BFLOAT16.clamp(-kind.largest, kind.largest)).to(kind.dtype).view(torch.uint8)
    assert torch.equal(encode(EVERY_BFLOAT16, kind), expected), "saturating, as quantization needs it"
    fast, numbers = cast(EVERY_BFLOAT16, kind), ~EVERY_BFLOAT16.isnan()
    assert torch.equal(fast.view(torch.uint8)[numbers], expected[numbers])
    assert fast.float()[~numbers].isnan().all(), "torch's clamp may turn the sign of a NaN"


@BOTH
def test_cast_without_saturation_equals_torchs_wherever_torch_does_not_overflow(kind: Fp8Format) -> None:
    ours, theirs = encode(EVERY_BFLOAT16, kind, "nonfinite"), EVERY_BFLOAT16.to(kind.dtype).view(torch.uint8)
    overflow = decode(ours, kind).isfinite().logical_not() & ~EVERY_BFLOAT16.isnan()
    assert torch.equal(ours[~overflow], theirs[~overflow])
    if kind is E5M2:
        assert torch.equal(ours, theirs), "infinity beyond the largest"
    else:
        assert (ours[overflow] & 0x7F).unique().tolist() == [0x7F], "NaN beyond the largest, for there is no infinity"
        assert set((theirs[overflow] & 0x7F).unique().tolist()) <= {0x7E, 0x7F}, "torch 2.13 saturates, older ones gave NaN"


@BOTH
@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=64))
def test_cast_of_any_float32_equals_torchs(kind: Fp8Format, numbers: list[float]) -> None:
    values = torch.tensor(numbers, dtype=torch.float32)
    assert torch.equal(encode(values, kind), values.clamp(-kind.largest, kind.largest).to(kind.dtype).view(torch.uint8))


@BOTH
def test_every_tie_goes_to_the_even_code(kind: Fp8Format) -> None:
    finite = kind.decode_table()[: kind.highest + 1]
    ties = (finite[1:] + finite[:-1]) / 2
    lower = torch.arange(kind.highest)
    assert torch.equal(encode(ties, kind), torch.where(lower % 2 == 0, lower, lower + 1).to(torch.uint8))
    assert torch.equal(encode(torch.nextafter(ties, torch.tensor(0.0)), kind), lower.to(torch.uint8))
    assert torch.equal(encode(torch.nextafter(ties, torch.tensor(torch.inf)), kind), (lower + 1).to(torch.uint8))


@BOTH
def test_every_code_decodes_as_torch_does_and_encodes_back(kind: Fp8Format) -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    values, expected = decode(codes, kind), codes.view(kind.dtype).float()
    assert torch.equal(values.isnan(), expected.isnan())
    assert torch.equal(values.nan_to_num(nan=0), expected.nan_to_num(nan=0))
    assert torch.equal(values.signbit()[~values.isnan()], expected.signbit()[~expected.isnan()]), "minus zero is kept"
    finite = values.isfinite()
    assert torch.equal(encode(values, kind)[finite], codes[finite])
    assert decode(codes.view(kind.dtype), kind).isnan().sum() == values.isnan().sum()


@pytest.mark.parametrize(
    ("kind", "largest", "normal", "subnormal", "nans"), [(E4M3, 448.0, 2.0**-6, 2.0**-9, 2), (E5M2, 57344.0, 2.0**-14, 2.0**-16, 6)]
)
def test_the_figures_of_the_specification(kind: Fp8Format, largest: float, normal: float, subnormal: float, nans: int) -> None:
    table = kind.decode_table()
    assert (kind.largest, smallest_normal(kind), kind.smallest_subnormal) == (largest, normal, subnormal)
    assert float(table[table > 0].min()) == subnormal
    assert float(table[table.isfinite()].max()) == largest
    assert int(table.isnan().sum()) == nans
    assert int(table.isinf().sum()) == (2 if kind is E5M2 else 0)


@BOTH
def test_overflow_and_nan(kind: Fp8Format) -> None:
    values = torch.tensor([1e30, -1e30, math.inf, -math.inf])
    assert decode(encode(values, kind), kind).tolist() == [kind.largest, -kind.largest, kind.largest, -kind.largest]
    assert not decode(encode(values, kind, "nonfinite"), kind).isfinite().any()
    assert decode(encode(torch.tensor([math.nan]), kind), kind).isnan().all()


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_decoding_by_moved_bits_equals_the_table_on_every_finite_code(kind: Fp8Format, dtype: torch.dtype) -> None:
    codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    finite = codes[kind.decode_table().isfinite()].view(kind.dtype)
    decoded = decode_into(finite, kind, torch.empty(finite.shape, dtype=dtype)).double() * kind.half_factor
    assert torch.equal(decoded, decode(finite, kind).double())

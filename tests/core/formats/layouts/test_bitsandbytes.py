"""bitsandbytes' layout: what is written comes back, and damage is named. (test_bitsandbytes_peer.py holds it against the package.)"""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.errors import RequestError
from core.formats.layouts.bitsandbytes import BitsAndBytes
from core.numerics.llm_int8 import Int8Rows, OutlierInputs, quantize_rows
from core.numerics.nf4 import quantize_nf4

STATE = "a.weight.quant_state.bitsandbytes__nf4"


def four_bit(nested: bool = True) -> dict[str, Tensor]:
    weight = quantize_nf4(torch.randn(48, 128, generator=torch.Generator().manual_seed(0)), nested=nested, dtype=torch.bfloat16)
    return BitsAndBytes("nf4", nested).compress("a", weight)


@pytest.mark.parametrize("nested", [False, True])
def test_nf4_comes_back(nested: bool) -> None:
    weight = quantize_nf4(torch.randn(33, 70), nested=nested, dtype=torch.float16)
    format_ = BitsAndBytes("nf4", nested)
    tensors = format_.compress("a", weight)
    assert sum(tensor.nbytes for tensor in tensors.values()) == weight.nbytes
    assert set(tensors) <= set(format_.parts("a"))
    assert {format_.linear_of(name) for name in tensors} == {"a", None}
    again = BitsAndBytes.from_config(format_.config(["lm_head"])).decompress("a", tensors)
    assert torch.equal(again.dequantize(), weight.dequantize())
    assert again.nbytes == weight.nbytes


def test_codes_dressed_up_as_other_numbers_are_read() -> None:
    tensors = four_bit()
    expected = BitsAndBytes("nf4").decompress("a", tensors).dequantize()
    dressed = tensors | {"a.weight": tensors["a.weight"].flatten().view(torch.bfloat16).unsqueeze(1)}
    assert torch.equal(BitsAndBytes("nf4").decompress("a", dressed).dequantize(), expected)


def test_int8_comes_back_with_its_threshold() -> None:
    weight = quantize_rows(torch.randn(8, 32), threshold=4.5)
    format_ = BitsAndBytes("int8", double_quant=False, threshold=4.5)
    tensors = format_.compress("a", weight)
    assert sum(tensor.nbytes for tensor in tensors.values()) == weight.nbytes
    assert {format_.linear_of(name) for name in tensors} == {"a", None}
    again = BitsAndBytes.from_config(json.loads(json.dumps(format_.config(["lm_head"])))).decompress("a", tensors)
    assert isinstance(again, Int8Rows)
    assert again.activations == OutlierInputs("int8", threshold=4.5)
    assert torch.equal(again.dequantize(), weight.dequantize())


def test_a_format_takes_only_its_own_weights() -> None:
    nf4 = quantize_nf4(torch.randn(4, 64), nested=True, dtype=torch.float32)
    assert BitsAndBytes("nf4", double_quant=True).can_compress(nf4)
    assert not BitsAndBytes("nf4", double_quant=False).can_compress(nf4)
    assert not BitsAndBytes("int8").can_compress(nf4)
    assert not BitsAndBytes("nf4").can_compress(quantize_rows(torch.randn(4, 64)))
    with pytest.raises(ValueError, match="does not fit"):
        BitsAndBytes("int8").compress("a", nf4)


def as_bytes(state: dict[str, object]) -> Tensor:
    return torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)


GOOD = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [48, 128], "nested_blocksize": 256, "nested_offset": 0.1}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"a.weight": None}, r"a\.weight is missing"),
        ({"a.weight": torch.zeros(7, 1, dtype=torch.uint8)}, "fill 3072 bytes"),
        ({"a.weight": torch.zeros(3072, 1)}, "fill 3072 bytes"),
        ({"a.weight.quant_map": torch.zeros(15)}, r"\[16\] belongs there"),
        ({"a.weight.absmax": torch.zeros(96)}, "belongs there"),
        ({"a.weight.absmax": None}, "absmax is missing"),
        ({"a.weight.nested_absmax": torch.tensor([torch.nan])}, "not a number from 0"),
        ({"a.weight.nested_quant_map": None}, "nested_quant_map is missing"),
        ({STATE: None}, "is missing"),
        ({STATE: torch.zeros(100_000, dtype=torch.uint8)}, "not a short text"),
        ({STATE: torch.tensor([123, 0], dtype=torch.uint8)}, "is not JSON"),
        ({STATE: as_bytes(GOOD | {"quant_type": "fp4"})}, "does not describe nf4"),
        ({STATE: as_bytes(GOOD | {"dtype": ["x"]})}, "does not describe nf4"),
        ({STATE: as_bytes(GOOD | {"shape": [48]})}, "does not have the shape of a matrix"),
        ({STATE: as_bytes(GOOD | {"shape": [2**40, 1]})}, "does not have the shape of a matrix"),
        ({STATE: as_bytes(GOOD | {"shape": [48, 129]})}, "fill 3096 bytes"),
        ({STATE: as_bytes(GOOD | {"blocksize": 0})}, "unknown size of blocks"),
        ({STATE: as_bytes(GOOD | {"nested_blocksize": [1]})}, "unknown size of blocks"),
        ({STATE: as_bytes(GOOD | {"nested_offset": 10**400})}, "not a number"),
        ({STATE: as_bytes(GOOD | {"nested_offset": float("nan")})}, "not a number"),
    ],
)
def test_damaged_nf4_is_named(changes: dict[str, Tensor | None], what: str) -> None:
    tensors = {name: tensor for name, tensor in (four_bit() | changes).items() if tensor is not None}
    with pytest.raises(RequestError, match=what):
        BitsAndBytes("nf4", double_quant=True).decompress("a", tensors)


@given(
    st.dictionaries(
        st.sampled_from(sorted(GOOD)),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
    )
)
def test_any_state_is_read_or_refused(changes: dict[str, object]) -> None:
    tensors = four_bit() | {STATE: as_bytes(GOOD | changes)}
    with suppress(RequestError):
        BitsAndBytes("nf4", double_quant=True).decompress("a", tensors).dequantize()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"a.weight": torch.zeros(8, 32)}, "not an int8 matrix"),
        ({"a.SCB": torch.zeros(9)}, r"\[8\] belongs there"),
        ({"a.SCB": torch.full((8,), -1.0)}, "not a number from 0"),
        ({"a.SCB": None}, "SCB is missing"),
        ({"a.weight_format": torch.tensor(2, dtype=torch.uint8)}, "layout"),
    ],
)
def test_damaged_int8_is_named(changes: dict[str, Tensor | None], what: str) -> None:
    format_ = BitsAndBytes("int8", double_quant=False)
    tensors = format_.compress("a", quantize_rows(torch.randn(8, 32))) | changes
    with pytest.raises(RequestError, match=what):
        format_.decompress("a", {name: tensor for name, tensor in tensors.items() if tensor is not None})


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({}, "neither load_in_4bit nor load_in_8bit"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "neither"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf3"}, "nf3"),
        ({"load_in_8bit": True, "llm_int8_threshold": "six"}, "llm_int8_threshold"),
        ({"load_in_8bit": True, "llm_int8_threshold": 10**400}, "llm_int8_threshold"),
    ],
)
def test_configs_that_cannot_be_read_are_named(config: dict[str, object], what: str) -> None:
    with pytest.raises(RequestError, match=what):
        BitsAndBytes.from_config(config)

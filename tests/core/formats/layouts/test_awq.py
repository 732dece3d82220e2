"""AWQ files say what the quantizer meant, and files that do not say what they mean are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.formats.layouts.awq import Awq, pack_outputs
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.rtn import quantize
from tests.core.formats.packed_by_hand import awq_weight


def made(*, symmetric: bool = False, rows: int = 16, columns: int = 64, group: int | None = 32, seed: int = 0) -> QuantizedTensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    return quantize(weight, None, Grid(4, symmetric, "group" if group else "channel", group or 0, scale_dtype=torch.float16))


@pytest.mark.parametrize("group", [16, 64, None])
@pytest.mark.parametrize("symmetric", [True, False])
def test_an_unpacker_written_from_the_specification_reads_our_files(symmetric: bool, group: int | None) -> None:
    quantized = made(symmetric=symmetric, group=group)
    tensors = Awq(group).compress("l", quantized)
    found = awq_weight(tensors["l.qweight"], tensors["l.qzeros"], tensors["l.scales"], group or 64)
    assert torch.equal(found, quantized.dequantize())
    assert torch.equal(Awq(group).decompress("l", tensors).dequantize(), quantized.dequantize())


def test_the_order_of_a_word() -> None:
    word = int(pack_outputs(torch.arange(8, dtype=torch.int8).view(1, 8) - 8)[0, 0]) & 0xFFFFFFFF
    assert f"{word:08x}" == "75316420"


@settings(max_examples=40)
@given(
    rows=st.integers(1, 6).map(lambda n: 8 * n),
    columns=st.integers(1, 4).map(lambda n: 32 * n),
    group=st.sampled_from([8, 32, None]),
    symmetric=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_reading_undoes_writing(rows: int, columns: int, group: int | None, symmetric: bool, seed: int) -> None:
    quantized = made(symmetric=symmetric, rows=rows, columns=columns, group=group, seed=seed)
    scheme = Awq.from_config(Awq(group).config(["lm_head"]))
    tensors = scheme.compress("l", quantized)
    assert set(tensors) == set(scheme.parts("l"))
    found = scheme.decompress("l", tensors)
    assert torch.equal(found.codes, quantized.codes)
    assert torch.equal(found.dequantize(), quantized.dequantize())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bits": 8}, "8 bits"),
        ({"granularity": "tensor"}, "per-tensor scales"),
        ({"group_index": torch.arange(64, dtype=torch.int32).flip(0) // 32}, "order of rounding"),
        ({"scales": torch.full((16, 2), 1.0001)}, "16 bits"),
        ({"codes": torch.zeros(12, 64, dtype=torch.int8)}, "12 outputs"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    weight = replace(made(), **change)
    assert not Awq(32).can_compress(weight)
    with pytest.raises(ValueError, match=reason):
        Awq(32).compress("l", weight)


@pytest.mark.parametrize(
    "config",
    [
        {"zero_point": True, "q_group_size": 32, "w_bit": 4, "version": "GEMM"},
        {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm", "modules_to_not_convert": None},
        {"quant_method": "awq", "bits": 4, "group_size": 32, "sym": False, "provider": "auto-round", "zero_point": True, "version": "gemm"},
        {"quant_method": "awq", "bits": 4, "group_size": 32, "desc_act": False, "checkpoint_format": "gemm", "pack_dtype": "int32", "sym": False},
    ],
    ids=["AutoAWQ 0.1", "AutoAWQ 0.2", "auto-round", "gptqmodel"],
)
def test_configs_of_others_are_understood(config: dict[str, Any]) -> None:
    quantized = made()
    assert torch.equal(Awq.from_config(config).decompress("l", Awq(32).compress("l", quantized)).dequantize(), quantized.dequantize())


def test_symmetric_files_without_zero_points() -> None:
    quantized = made(symmetric=True)
    tensors = Awq(32).compress("l", quantized)
    del tensors["l.qzeros"]
    assert torch.equal(Awq(32, zero_point=False).decompress("l", tensors).dequantize(), quantized.dequantize())
    with pytest.raises(RequestError, match=r"'l\.qzeros' is missing"):
        Awq(32).decompress("l", tensors)


DAMAGE: dict[str, tuple[Awq, Any, str]] = {
    "a packed weight that is missing": (Awq(32), lambda t: t.pop("l.qweight"), "'l.qweight' is missing"),
    "scales that are missing": (Awq(32), lambda t: t.pop("l.scales"), "'l.scales' is missing"),
    "GPTQ's packing": (Awq(32), lambda t: t.update({"l.qweight": torch.zeros(8, 16, dtype=torch.int32)}), "quant_method to gptq"),
    "floats for words": (Awq(32), lambda t: t.update({"l.qweight": torch.zeros(64, 2)}), "not AWQ packing"),
    "another group size": (Awq(16), lambda t: None, "group_size"),
    "too few zero points": (Awq(32), lambda t: t.update({"l.qzeros": t["l.qzeros"][:1]}), "l.qzeros"),
    "a scale that is not finite": (Awq(32), lambda t: t["l.scales"].fill_(float("inf")), "not a finite"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str) -> None:
    scheme, harm, words = DAMAGE[case]
    tensors = {name: tensor.clone() for name, tensor in Awq(32).compress("l", made()).items()}
    harm(tensors)
    with pytest.raises(RequestError, match=words):
        scheme.decompress("l", tensors)


@pytest.mark.parametrize(
    ("config", "words"),
    [({"bits": 8}, "8 bits"), ({"bits": 4, "version": "gemv"}, "'gemv'"), ({"bits": 4, "zero_point": 1}, "zero_point"), ({"version": 3}, "version")],
)
def test_schemes_that_cannot_be_read_are_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Awq.from_config(config)

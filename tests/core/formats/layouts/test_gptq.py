"""GPTQ files say what the quantizer meant, and files that do not say what they mean are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.formats.layouts.gptq import Gptq
from core.models.card import LinearShape
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.rtn import quantize
from core.quantize.methods import METHODS
from core.quantize.pipeline.schemes import scheme_of
from core.quantize.spec import QuantizeSpec
from tests.core.formats.packed_by_hand import gptq_weight


def made(bits: int, *, symmetric: bool, rows: int = 32, columns: int = 64, group: int | None = 32, seed: int = 0) -> QuantizedTensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    reserved = 0 if symmetric else 1
    grid = Grid(bits, symmetric, "group" if group else "channel", group or 0, scale_dtype=torch.float16, reserved=reserved)
    return quantize(weight, None, grid)


def shuffled(quantized: QuantizedTensor, seed: int = 1) -> QuantizedTensor:
    order = torch.randperm(quantized.shape[1], generator=torch.Generator().manual_seed(seed))
    return replace(quantized, codes=quantized.codes[:, order], group_index=quantized.group_index[order])


@pytest.mark.parametrize("group", [32, 64, None])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("version", [1, 2])
def test_an_unpacker_written_from_the_specification_reads_our_files(bits: int, symmetric: bool, group: int | None, version: int) -> None:
    quantized = made(bits, symmetric=symmetric, group=group)
    scheme = Gptq(bits, symmetric, group, version=version)
    tensors = scheme.compress("l", quantized)
    found = gptq_weight(*(tensors[f"l.{part}"] for part in ("qweight", "qzeros", "scales", "g_idx")), bits, stored_less_one=version == 1)  # type: ignore[arg-type, misc]
    assert torch.equal(found, quantized.dequantize())
    assert torch.equal(scheme.decompress("l", tensors).dequantize(), quantized.dequantize())
    assert scheme.linear_of("l.qweight") == "l"
    assert set(tensors) <= set(scheme.parts("l"))


def test_the_words_are_those_of_the_format() -> None:
    tensors = Gptq(4, True, 32).compress("l", made(4, symmetric=True))
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()} == {
        "l.qweight": (torch.int32, (8, 32)),
        "l.qzeros": (torch.int32, (2, 4)),
        "l.scales": (torch.float16, (2, 32)),
        "l.g_idx": (torch.int32, (64,)),
    }
    assert (tensors["l.qzeros"] == 0x77777777).all()


@settings(max_examples=60)
@given(
    bits=st.sampled_from([2, 3, 4, 8]),
    symmetric=st.booleans(),
    rows=st.integers(1, 3).map(lambda n: 32 * n),
    columns=st.integers(1, 4).map(lambda n: 32 * n),
    group=st.sampled_from([8, 32, None]),
    act_order=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_reading_undoes_writing(bits: int, symmetric: bool, rows: int, columns: int, group: int | None, act_order: bool, seed: int) -> None:
    quantized = made(bits, symmetric=symmetric, rows=rows, columns=columns, group=group, seed=seed)
    if act_order:
        quantized = shuffled(quantized, seed)
    scheme = Gptq.from_config(Gptq(bits, symmetric, group, act_order).config(["lm_head"]))
    found = scheme.decompress("l", scheme.compress("l", quantized))
    assert torch.equal(found.codes, quantized.codes)
    assert torch.equal(found.scales, quantized.scales)
    assert torch.equal(found.group_index, quantized.group_index)
    assert found.symmetric == symmetric
    if quantized.zeros is not None and found.zeros is not None:
        assert torch.equal(found.zeros, quantized.zeros)


@pytest.mark.parametrize(
    ("scheme", "change", "reason"),
    [
        (Gptq(4, True, 32), {"bits": 3}, "3 bits"),
        (Gptq(4, False, 32), {}, "symmetric"),
        (Gptq(4, True, 32), {"granularity": "tensor"}, "per-tensor scales"),
        (Gptq(4, True, 32), {"group_index": torch.arange(64, dtype=torch.int32).flip(0) // 32}, "desc_act"),
        (Gptq(4, True, 32), {"scales": torch.full((32, 2), 1.0001)}, "16 bits"),
        (Gptq(4, True, 32), {"scales": torch.full((32, 2), 1e9)}, "16 bits"),
        (Gptq(4, False, 32), {"zeros": torch.full((32, 2), -8, dtype=torch.int8)}, "zero point is 0"),
        (Gptq(4, True, 32), {"codes": torch.zeros(32, 60, dtype=torch.int8), "group_index": torch.zeros(60, dtype=torch.int32)}, "32-bit words"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_with_the_reason(scheme: Gptq, change: dict[str, Any], reason: str) -> None:
    weight = replace(made(4, symmetric=True), **change)
    assert not scheme.can_compress(weight)
    with pytest.raises(ValueError, match=reason):
        scheme.compress("l", weight)


def test_version_2_holds_a_zero_point_of_zero() -> None:
    quantized = replace(made(4, symmetric=False), zeros=torch.full((32, 2), -8, dtype=torch.int8))
    scheme = Gptq(4, False, 32, version=2)
    assert torch.equal(scheme.decompress("l", scheme.compress("l", quantized)).dequantize(), quantized.dequantize())


@settings(max_examples=60)
@given(low=st.floats(-1, 4), span=st.floats(0.01, 5), bits=st.sampled_from([2, 3, 4, 8]), seed=st.integers(0, 2**16))
def test_the_quantizer_keeps_zero_points_above_what_version_1_loses(low: float, span: float, bits: int, seed: int) -> None:
    """Also for groups without a negative weight, whose zero point would be 0, at no more than a step's error."""
    weight = low + span * torch.rand(32, 32, generator=torch.Generator().manual_seed(seed))
    quantized = quantize(weight, None, Grid(bits, False, "group", 32, scale_dtype=torch.float32, reserved=1))
    assert quantized.zeros is not None
    assert int(quantized.zeros.min()) > -(1 << (bits - 1))
    step = quantized.scales.expand(32, 32)
    assert bool(((quantized.dequantize() - weight).abs() <= step * 0.51 + 1e-6).all())


@pytest.mark.parametrize("format_", ["gptq", "awq"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_size_of_a_linear_is_foretold(format_: str, symmetric: bool) -> None:
    spec = QuantizeSpec(model="m", method="rtn", format=format_, group_size=32, symmetric=symmetric)
    tensors = scheme_of(spec).compress("l", made(4, symmetric=symmetric))
    shape = LinearShape(name_suffix="l", out_features=32, in_features=64, count=1)
    assert METHODS[spec.method].stored_bytes(spec.request, shape) == sum(tensor.nbytes for tensor in tensors.values())


# Files of others


OTHERS: dict[str, dict[str, Any]] = {
    "AutoGPTQ 0.2, quantize_config.json": {
        "bits": 4,
        "group_size": 32,
        "damp_percent": 0.1,
        "desc_act": False,
        "sym": True,
        "true_sequential": True,
        "model_name_or_path": None,
        "model_file_base_name": "gptq_model-4bit-32g",
    },
    "optimum": {
        "batch_size": 1,
        "bits": 4,
        "block_name_to_quantize": None,
        "cache_block_outputs": True,
        "damp_percent": 0.1,
        "dataset": None,
        "desc_act": False,
        "exllama_config": {"version": 1},
        "group_size": 32,
        "max_input_length": None,
        "model_seqlen": None,
        "module_name_preceding_first_block": None,
        "modules_in_block_to_quantize": None,
        "pad_token_id": None,
        "quant_method": "gptq",
        "sym": True,
        "tokenizer": None,
        "true_sequential": True,
        "use_cuda_fp16": False,
        "use_exllama": True,
    },
    "gptqmodel": {
        "bits": 4,
        "dynamic": {"-:.*down_proj": {}},
        "group_size": 32,
        "desc_act": False,
        "lm_head": False,
        "quant_method": "gptq",
        "checkpoint_format": "gptq",
        "pack_dtype": "int32",
        "meta": {"quantizer": ["gptqmodel:7.6.0"], "uri": "https://github.com/modelcloud/gptqmodel", "damp_percent": 0.05},
        "sym": True,
    },
    "auto-round as gptq": {
        "bits": 4,
        "group_size": 32,
        "sym": True,
        "data_type": "int",
        "provider": "auto-round",
        "autoround_version": "0.9.0",
        "block_name_to_quantize": "model.layers",
        "lm_head": False,
        "quant_method": "gptq",
        "desc_act": False,
        "true_sequential": False,
        "damp_percent": 0.01,
    },
}


@pytest.mark.parametrize("maker", OTHERS)
def test_configs_of_others_are_understood(maker: str) -> None:
    quantized = made(4, symmetric=True)
    tensors = Gptq(4, True, 32).compress("l", quantized)
    assert torch.equal(Gptq.from_config(OTHERS[maker]).decompress("l", tensors).dequantize(), quantized.dequantize())


def test_version_2_is_understood() -> None:
    quantized = made(4, symmetric=False)
    tensors = Gptq(4, False, 32, version=2).compress("l", quantized)
    scheme = Gptq.from_config({"bits": 4, "group_size": 32, "sym": False, "checkpoint_format": "gptq_v2"})
    assert torch.equal(scheme.decompress("l", tensors).dequantize(), quantized.dequantize())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_zero_points_that_gptqmodel_lowered_by_words_come_back(bits: int) -> None:
    """gptqmodel subtracts one from every field of a word at once: a zero point of 0 borrows from its neighbour."""
    quantized = made(bits, symmetric=False, seed=5)
    assert quantized.zeros is not None
    zeros = torch.randint(-(1 << (bits - 1)), 1 << (bits - 1), quantized.zeros.shape, generator=torch.Generator().manual_seed(2), dtype=torch.int8)
    quantized = replace(quantized, zeros=zeros)
    tensors = Gptq(bits, False, 32, version=2).compress("l", quantized)
    ones = {2: 0x55555555, 4: 0x11111111, 8: 0x01010101}[bits]
    tensors["l.qzeros"] = tensors["l.qzeros"] - ones
    config = {"bits": bits, "group_size": 32, "sym": False, "checkpoint_format": "gptq", "meta": {"quantizer": ["gptqmodel:5.0.0"]}}
    assert torch.equal(Gptq.from_config(config).decompress("l", tensors).dequantize(), quantized.dequantize())


def test_a_missing_group_index_means_groups_in_order() -> None:
    quantized = made(4, symmetric=True)
    tensors = Gptq(4, True, 32).compress("l", quantized)
    del tensors["l.g_idx"]
    assert torch.equal(Gptq(4, True, 32).decompress("l", tensors).dequantize(), quantized.dequantize())
    with pytest.raises(RequestError, match="g_idx"):
        Gptq(4, True, 32, act_order=True).decompress("l", tensors)


def test_linears_of_different_widths_in_one_checkpoint() -> None:
    scheme = Gptq.from_config(
        {"bits": 4, "group_size": 32, "sym": True, "dynamic": {"-:.*lm_head.*": {}, r"+:.*\.down_proj$": {"bits": 8, "group_size": -1}}}
    )
    wide = made(8, symmetric=True, group=None)
    assert torch.equal(scheme.decompress("a.down_proj", Gptq(8, True, None).compress("a.down_proj", wide)).dequantize(), wide.dequantize())
    narrow = made(4, symmetric=True)
    assert torch.equal(scheme.decompress("a.up_proj", Gptq(4, True, 32).compress("a.up_proj", narrow)).dequantize(), narrow.dequantize())


def test_linears_left_out_are_named_in_the_config() -> None:
    config = Gptq().config(["lm_head", "model.layers.0.gate"])
    assert config["dynamic"] == {r"-:^model\.layers\.0\.gate$": {}}
    assert config["lm_head"] is False
    assert "dynamic" not in Gptq().config(["lm_head"])


DAMAGE: dict[str, tuple[Gptq, Any, str]] = {
    "a packed weight that is missing": (Gptq(4, True, 32), lambda t: t.pop("l.qweight"), "'l.qweight' is missing"),
    "scales that are missing": (Gptq(4, True, 32), lambda t: t.pop("l.scales"), "'l.scales' is missing"),
    "zero points that are missing": (Gptq(4, False, 32), lambda t: t.pop("l.qzeros"), "'l.qzeros' is missing"),
    "another width": (Gptq(8, True, 32), lambda t: None, "l.scales.*group_size 32 makes 1"),
    "AWQ's packing": (Gptq(4, True, 32), lambda t: t.update({"l.qweight": torch.zeros(64, 4, dtype=torch.int32)}), "quant_method to awq"),
    "floats for words": (Gptq(4, True, 32), lambda t: t.update({"l.qweight": torch.zeros(8, 32)}), "bits in config.json"),
    "another group size": (Gptq(4, True, 16), lambda t: None, "group_size"),
    "a scale that is not finite": (Gptq(4, True, 32), lambda t: t["l.scales"].fill_(float("nan")), "not a finite"),
    "zero points of version 2": (Gptq(4, True, 32), lambda t: t["l.qzeros"].add_(0x11111111), "checkpoint_format to gptq_v2"),
    "zero points of version 1": (Gptq(4, True, 32, version=2), lambda t: None, "checkpoint_format to gptq in"),
    "zero points of asymmetric weights": (Gptq(4, True, 32), lambda t: t["l.qzeros"][0].fill_(5), "sym to false"),
    "a zero point that version 1 lost": (Gptq(4, False, 32), lambda t: t["l.qzeros"].fill_(-1), "gptq_v2"),
    "groups out of order": (Gptq(4, True, 32), lambda t: t.update({"l.g_idx": t["l.g_idx"].flip(0)}), "desc_act to true"),
    "a group that is not there": (Gptq(4, True, 32, act_order=True), lambda t: t["l.g_idx"].fill_(2), "names the group 2, and there are 2"),
    "a group below zero": (Gptq(4, True, 32, act_order=True), lambda t: t["l.g_idx"].fill_(-3), "names the group -3"),
    "a group index that is too short": (Gptq(4, True, 32), lambda t: t.update({"l.g_idx": t["l.g_idx"][:-1]}), "l.g_idx"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str) -> None:
    scheme, harm, words = DAMAGE[case]
    tensors = {name: tensor.clone() for name, tensor in Gptq(4, True, 32).compress("l", made(4, symmetric=True)).items()}
    harm(tensors)
    with pytest.raises(RequestError, match=words) as caught:
        scheme.decompress("l", tensors)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"bits": 5}, "5 bits"),
        ({"bits": "four"}, "bits = 'four'"),
        ({"bits": True}, "bits = True"),
        ({"bits": 4, "sym": "yes"}, "sym = 'yes'"),
        ({"bits": 4, "group_size": 0}, "group_size = 0"),
        ({"bits": 4, "checkpoint_format": "marlin"}, "'marlin' cannot be read"),
        ({"bits": 4, "pack_dtype": "int64"}, "int64"),
        ({"bits": 4, "dynamic": ["x"]}, "not a table"),
        ({"bits": 4, "dynamic": {"+:(": {"bits": 8}}}, "not a regular expression"),
        ({"bits": 4, "dynamic": {"+:(a+)+$": {"bits": 8}}}, "forever"),
    ],
)
def test_schemes_that_cannot_be_read_are_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Gptq.from_config(config)

"""compressed-tensors configs and tensors of anybody: several schemes, older packings, groups in the order of rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationScheme
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import RequestError
from core.formats.layouts.compressed_tensors.config_groups import ConfigGroups
from core.formats.layouts.compressed_tensors.floats import FloatQuantized
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.numerics.grid import Grid
from core.numerics.tensor import QuantizedTensor
from core.quantize.linear.rtn import quantize


def made(bits: int = 4, *, symmetric: bool = True, group: int | None = 32, rows: int = 24, columns: int = 96, seed: int = 0) -> QuantizedTensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    return quantize(weight, None, Grid(bits, symmetric, "group" if group else "channel", group or 0, scale_dtype=torch.bfloat16))


def weights(bits: int = 4, **changes: Any) -> dict[str, Any]:
    return {"num_bits": bits, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32, "dynamic": False} | changes


def config(*groups: dict[str, Any], **more: Any) -> dict[str, Any]:
    numbered = {f"group_{index}": group for index, group in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": numbered, "ignore": ["lm_head"], **more}


LLM_COMPRESSOR = config(
    {
        "input_activations": None,
        "output_activations": None,
        "targets": ["Linear"],
        "weights": weights(actorder=None, block_structure=None, observer="minmax", observer_kwargs={}),
    },
    global_compression_ratio=1.9,
    kv_cache_scheme=None,
    quantization_status="compressed",
)
"""As version 0.1 to 0.5 wrote it: no format in the groups."""


def test_configs_of_llm_compressor_are_understood() -> None:
    quantized = made()
    tensors = CompressedTensors(4, True, "group", 32).compress("l", quantized)
    assert torch.equal(ConfigGroups.from_config(LLM_COMPRESSOR).decompress("l", tensors).dequantize(), quantized.dequantize())


def test_the_most_specific_target_counts() -> None:
    groups = ConfigGroups.from_config(
        config(
            {"targets": ["Linear"], "weights": weights(4)},
            {"targets": [r"re:.*down_proj$"], "weights": weights(8, strategy="channel", group_size=None)},
            {"targets": ["model.layers.0.mlp.down_proj"], "weights": weights(3)},
        )
    )
    found = {name: groups.of(name) for name in ("model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj", "model.layers.1.mlp.up_proj")}
    assert [scheme.bits for scheme in found.values() if isinstance(scheme, CompressedTensors)] == [3, 8, 4]
    for name, scheme in found.items():
        assert isinstance(scheme, CompressedTensors)
        quantized = made(scheme.bits, group=scheme.group_size)
        assert torch.equal(groups.decompress(name, groups.compress(name, quantized)).dequantize(), quantized.dequantize())
    again = ConfigGroups.from_config(groups.config(["lm_head"]))
    assert {name: again.of(name) for name in found} == found


def test_integers_and_floats_in_one_checkpoint() -> None:
    float8 = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel", "dynamic": False}
    tokens = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "token", "dynamic": True}
    groups = ConfigGroups.from_config(
        config(
            {"targets": ["re:.*mlp.*"], "weights": weights(4), "format": "pack-quantized"},
            {"targets": ["re:.*self_attn.*"], "weights": float8, "input_activations": tokens, "format": "float-quantized"},
            format="mixed-precision",
        )
    )
    assert isinstance(groups.of("model.layers.0.self_attn.q_proj"), FloatQuantized)
    assert groups.scheme == "pack-quantized and float-quantized"
    with pytest.raises(RequestError, match=r"lm_head.*no group"):
        groups.of("lm_head")


def loose(codes: Tensor, bits: int) -> Tensor:
    """Words of 32 // bits values each, by hand: how the package packed before its version 0.17."""
    rows, columns = codes.shape
    each = 32 // bits
    words = torch.zeros(rows, -(-columns // each), dtype=torch.int64)
    for row in range(rows):
        for column in range(columns):
            words[row, column // each] |= (int(codes[row, column]) + (1 << (bits - 1))) << (bits * (column % each))
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 5, 6, 7])
def test_the_packing_of_older_versions_is_read(bits: int, symmetric: bool) -> None:
    quantized = made(bits, symmetric=symmetric, rows=96)
    scheme = CompressedTensors(bits, symmetric, "group", 32)
    tensors = scheme.compress("l", quantized)
    tensors["l.weight_packed"] = loose(quantized.codes, bits)
    if quantized.zeros is not None:
        tensors["l.weight_zero_point"] = loose(quantized.zeros.t(), bits).t().contiguous()
    expected = quantized.dequantize() if symmetric else quantized.dequantize(quantized.scales.dtype).float()
    assert torch.equal(scheme.decompress("l", tensors).dequantize(), expected)


def test_groups_in_the_order_of_rounding_are_read() -> None:
    """`actorder: group` of older versions; the package itself no longer reads them."""
    quantized = made()
    index = quantized.group_index[torch.randperm(96, generator=torch.Generator().manual_seed(3))]
    tensors = CompressedTensors(4, True, "group", 32).compress("l", quantized) | {"l.weight_g_idx": index}
    scheme = ConfigGroups.from_config(config({"targets": ["Linear"], "weights": weights(actorder="group")}))
    expected = torch.stack([quantized.codes[:, i] * quantized.scales[:, int(index[i])].float() for i in range(96)], dim=1)
    assert torch.equal(scheme.decompress("l", tensors).dequantize(), expected)
    tensors["l.weight_g_idx"] = torch.full((96,), -1, dtype=torch.int32)
    assert torch.equal(scheme.decompress("l", tensors).dequantize(), quantized.dequantize())
    tensors["l.weight_g_idx"] = index + 1
    with pytest.raises(RequestError, match="names the group 3, and there are 3"):
        scheme.decompress("l", tensors)


@settings(max_examples=40)
@given(
    bits=st.integers(2, 8),
    symmetric=st.booleans(),
    strategy=st.sampled_from(["group", "channel", "tensor"]),
    rows=st.integers(9, 48),  # the package itself cannot pack zero points of one word
    columns=st.integers(1, 3).map(lambda n: 32 * n),
    packed=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_what_the_package_writes_is_what_we_read(bits: int, symmetric: bool, strategy: str, rows: int, columns: int, packed: bool, seed: int) -> None:
    """The package quantizes, packs and dequantizes; we read its tensors by its config."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    groups = {"group": columns // 32, "channel": 1, "tensor": 1}[strategy]
    shape = (1,) if strategy == "tensor" else (rows, groups)
    scale = 0.05 + 0.2 * torch.rand(shape, generator=generator)
    zero = None if symmetric else torch.randint(-(1 << (bits - 1)), 1 << (bits - 1), shape, dtype=torch.int8, generator=generator)
    arguments = weights(bits, symmetric=symmetric, strategy=strategy, group_size=32 if strategy == "group" else None)
    kind = "pack-quantized" if packed else "int-quantized"
    group = {"targets": ["Linear"], "weights": arguments, "format": kind}
    scheme = QuantizationScheme.model_validate(group)
    local = {"weight": weight, "weight_scale": scale} | ({} if zero is None else {"weight_zero_point": zero})
    compressor = BaseCompressor.get_value_from_registry(kind)
    stored = compressor.compress(local, scheme)
    expected = compressor.decompress(stored, scheme)["weight"]
    found = ConfigGroups.from_config(config(group)).decompress("l", {f"l.{name}": tensor for name, tensor in stored.items()})
    torch.testing.assert_close(found.dequantize(), expected.float(), rtol=1e-6, atol=1e-7)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "4-bit floats": (config({"targets": ["Linear"], "weights": weights(4, type="float")}), "4-bit floats"),
    "1 bit": (config({"targets": ["Linear"], "weights": weights(1)}), "1-bit int by group"),
    "blocks": (config({"targets": ["Linear"], "weights": weights(8, strategy="block")}), "8-bit int by block"),
    "text for bits": (config({"targets": ["Linear"], "weights": weights() | {"num_bits": "4"}}), "num_bits = '4'"),
    "sparse": (config({"targets": ["Linear"], "weights": weights()}, sparsity_config={"format": "sparse-24-bitmask"}), "stored sparse"),
    "rotated": (config({"targets": ["Linear"], "weights": weights()}, transform_config={"config_groups": {"u": {}}}), "rotated by transforms"),
    "no groups": (config(), "no config_groups"),
    "a cache alone": (config(kv_cache_scheme={"num_bits": 8, "type": "float"}), "only the KV cache"),
    "unpacked again": (config({"targets": ["Linear"], "weights": weights()}, quantization_status="decompressed"), "'decompressed'"),
    "a group that is not a table": (config([]), "that is not a table"),  # type: ignore[arg-type]
    "a target that is no name": (config({"targets": [3], "weights": weights()}), "targets are not names"),
    "an expression that never ends": (config({"targets": ["re:(x+)+$"], "weights": weights()}), "forever"),
    "4-bit inputs": (
        config({"targets": ["Linear"], "weights": weights(), "input_activations": weights(4, strategy="token", dynamic=True)}),
        "inputs rounded as 4 int token True True",
    ),
    "inputs with zero points": (
        config({"targets": ["Linear"], "weights": weights(), "input_activations": weights(8, strategy="token", dynamic=True, symmetric=False)}),
        "inputs rounded as 8 int token False True",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_schemes_that_cannot_be_read_are_named(case: str) -> None:
    found, words = REFUSED[case]
    with pytest.raises(RequestError, match=words):
        ConfigGroups.from_config(found)


PACKED = CompressedTensors(4, False, "group", 32)
INT8 = CompressedTensors(8, True, "channel", None, activation_bits=8, activation_scales="static")

DAMAGE: dict[str, tuple[CompressedTensors, Any, str]] = {
    "scales that are missing": (PACKED, lambda t: t.pop("l.weight_scale"), "'l.weight_scale' is missing"),
    "a packed weight that is missing": (PACKED, lambda t: t.pop("l.weight_packed"), "'l.weight_packed' is missing"),
    "a shape that is missing": (PACKED, lambda t: t.pop("l.weight_shape"), "'l.weight_shape' is missing"),
    "zero points that are missing": (PACKED, lambda t: t.pop("l.weight_zero_point"), "'l.weight_zero_point' is missing"),
    "another width": (replace(PACKED, bits=8), lambda t: None, "l.weight_packed.*not 8-bit packing"),
    "a shape that is huge": (PACKED, lambda t: t["l.weight_shape"].fill_(2**62), "l.weight_packed"),
    "another group size": (replace(PACKED, group_size=48), lambda t: None, "l.weight_scale"),
    "zero points of another shape": (PACKED, lambda t: t.update({"l.weight_zero_point": torch.zeros(2, 2, dtype=torch.int32)}), "zero points"),
    "a scale that is not finite": (PACKED, lambda t: t["l.weight_scale"].fill_(float("nan")), "not a finite"),
    "floats for codes": (INT8, lambda t: t.update({"l.weight": torch.zeros(24, 96)}), "matrix of int8"),
    "codes beyond the width": (replace(INT8, bits=4), lambda t: t["l.weight"].fill_(100), "more than 4 bits"),
    "an input scale that is missing": (INT8, lambda t: None, "'l.input_scale' is missing"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str) -> None:
    scheme, harm, words = DAMAGE[case]
    whole = PACKED.compress("l", made(symmetric=False)) if scheme.packed is None and scheme.activation_bits == 16 else None
    tensors = whole or INT8.compress("l", made(8, group=None))
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    harm(tensors)
    with pytest.raises(RequestError, match=words):
        scheme.decompress("l", tensors)

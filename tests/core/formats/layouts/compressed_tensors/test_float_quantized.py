"""8-bit floats on disk: compressed-tensors' own package reads what is written, and damage is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.calibration.statistics import InputStatistics
from core.errors import RequestError
from core.formats.layouts.compressed_tensors.floats import FloatQuantized
from core.formats.layouts.fine_grained_fp8 import FineGrainedFp8
from core.numerics.fp8.tensor import Float8Tensor, Fp8Granularity
from core.quantize.linear.fp8 import Fp8Config, quantize

SCHEMES = [(granularity, inputs) for granularity in ("tensor", "channel", "block") for inputs in ("dynamic", "static", None)]
EVERY_SCHEME = pytest.mark.parametrize(("granularity", "inputs"), SCHEMES, ids=lambda value: str(value))


def stored(granularity: str, inputs: str | None, rows: int = 192, columns: int = 256, format_: str = "e4m3") -> Float8Tensor:
    generator = torch.Generator().manual_seed(1)
    statistics = InputStatistics(columns)
    statistics.add(torch.randn(64, columns, generator=generator))
    weight = torch.randn(rows, columns, generator=generator) * 0.02
    return quantize(weight, statistics, Fp8Config(format_, granularity, inputs, torch.bfloat16))  # type: ignore[arg-type]


@EVERY_SCHEME
def test_what_is_compressed_comes_back(granularity: str, inputs: str | None) -> None:
    format_, weight = FloatQuantized(granularity, inputs), stored(granularity, inputs)  # type: ignore[arg-type]
    tensors = format_.compress("a.b", weight)
    assert set(tensors) <= set(format_.parts("a.b"))
    assert sum(tensor.nbytes for tensor in tensors.values()) == weight.nbytes
    assert {format_.linear_of(name) for name in tensors} == {"a.b", None}
    again = FloatQuantized.from_config(format_.config(["lm_head"])).decompress("a.b", tensors)
    assert torch.equal(again.dequantize(), weight.dequantize())
    inputs_now = torch.randn(3, 256)
    assert type(again.activations) is type(weight.activations)
    if again.activations is not None and weight.activations is not None:
        assert torch.equal(again.activations(inputs_now), weight.activations(inputs_now))


@EVERY_SCHEME
def test_the_package_compressed_tensors_decompresses_to_the_same_weight_and_rounds_the_same_inputs(granularity: str, inputs: str | None) -> None:
    from compressed_tensors.compressors.naive_quantized.base import FloatQuantizationCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize, forward_quantize
    from compressed_tensors.quantization.quant_config import QuantizationStatus

    weight = stored(granularity, inputs)
    format_ = FloatQuantized(granularity, inputs)  # type: ignore[arg-type]
    scheme = QuantizationConfig.model_validate(format_.config(["lm_head"])).config_groups["group_0"]
    tensors = {name.removeprefix("a."): tensor for name, tensor in format_.compress("a", weight).items()}
    theirs = FloatQuantizationCompressor.decompress(dict(tensors), scheme)["weight"]
    assert torch.equal(theirs.float(), weight.dequantize(torch.bfloat16).float())
    if weight.activations is None:
        assert scheme.input_activations is None
        return
    values = torch.randn(1, 5, 256)
    if inputs == "static":
        rounded = fake_quantize(values, tensors["input_scale"].float(), None, scheme.input_activations)
    else:
        module = torch.nn.Linear(256, 192)
        module.quantization_status = QuantizationStatus.FROZEN
        rounded = forward_quantize(module, values, "input", scheme.input_activations)
    assert torch.equal(rounded, weight.activations(values))


def test_the_package_quantizes_to_the_same_codes() -> None:
    from compressed_tensors.compressors.naive_quantized.base import FloatQuantizationCompressor
    from compressed_tensors.quantization import QuantizationConfig

    original = torch.randn(192, 256, dtype=torch.bfloat16)
    for granularity in ("tensor", "channel"):
        weight = quantize(original.float(), None, Fp8Config("e4m3", granularity, "dynamic", torch.float32))
        scheme = QuantizationConfig.model_validate(FloatQuantized(granularity, "dynamic").config([])).config_groups["group_0"]
        theirs = FloatQuantizationCompressor.compress({"weight": original.float(), "weight_scale": weight.scales}, scheme)["weight"]
        assert torch.equal(theirs.view(torch.uint8), weight.codes.view(torch.uint8))


def test_e5m2_is_not_held() -> None:
    assert not FloatQuantized("channel", "dynamic").can_compress(stored("channel", "dynamic", format_="e5m2"))
    with pytest.raises(ValueError, match="does not fit"):
        FloatQuantized("channel", "dynamic").compress("a", stored("tensor", "dynamic"))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda tensors: tensors.pop("a.weight"), r"a\.weight is missing"),
        (lambda tensors: tensors.pop("a.weight_scale"), r"a\.weight_scale is missing"),
        (lambda tensors: tensors.pop("a.input_scale"), r"a\.input_scale is missing"),
        (lambda tensors: tensors.update({"a.weight": tensors["a.weight"].float()}), "float8_e4m3fn"),
        (lambda tensors: tensors.update({"a.weight_scale": torch.ones(3, 1)}), r"shape \[192, 1\]"),
        (lambda tensors: tensors.update({"a.weight_scale": torch.full((192, 1), -1.0)}), "negative or not a finite number"),
        (lambda tensors: tensors.update({"a.weight_scale": torch.full((192, 1), torch.nan)}), "negative or not a finite number"),
        (lambda tensors: tensors.update({"a.weight_scale": torch.full((192, 1), 255, dtype=torch.uint8).view(torch.float8_e8m0fnu)}), "finite"),
        (lambda tensors: tensors.update({"a.input_scale": torch.zeros(1)}), "input_scale is not a positive number"),
    ],
)
def test_damage_is_named(change: object, what: str) -> None:
    format_ = FloatQuantized("channel", "static")
    tensors: dict[str, Tensor] = format_.compress("a", stored("channel", "static"))
    change(tensors)  # type: ignore[operator]
    with pytest.raises(RequestError, match=what):
        format_.decompress("a", tensors)


@pytest.mark.parametrize("granularity", ["tensor", "channel", "block"])
def test_zero_scales_are_of_zeros_and_exponents_are_powers_of_two(granularity: Fp8Granularity) -> None:
    """Per scale: 2, 0.25 as bare exponents mean what they mean in float32; 0 makes zeros, as `codes * scale` does in torch."""
    format_ = FloatQuantized(granularity, None)
    tensors = format_.compress("a", stored(granularity, None))
    shape = tensors["a.weight_scale"].shape
    powers = torch.tensor([2.0, 0.25]).repeat(shape.numel())[: shape.numel()].view(shape)
    expected = format_.decompress("a", tensors | {"a.weight_scale": powers}).dequantize()
    found = format_.decompress("a", tensors | {"a.weight_scale": powers.to(torch.float8_e8m0fnu)}).dequantize()
    assert torch.equal(found, expected)
    assert expected.any()
    zeros = format_.decompress("a", tensors | {"a.weight_scale": torch.zeros(shape)}).dequantize()
    assert torch.equal(zeros, torch.zeros_like(zeros))


def group(weights: dict[str, object] | None = None, inputs: dict[str, object] | None = None) -> dict[str, object]:
    found = FloatQuantized("channel", "dynamic").config([])["config_groups"]["group_0"]  # type: ignore[index]
    return found | {"weights": found["weights"] | (weights or {}), "input_activations": found["input_activations"] | (inputs or {})}


@pytest.mark.parametrize(
    ("groups", "what"),
    [
        ({}, "no config_groups"),
        ({"0": group({"strategy": "attn_head"})}, "strategy 'attn_head'"),
        ({"0": group({"strategy": "block", "block_structure": [64, 64]})}, "blocks of"),
        ({"0": group({"type": "int"})}, "not of symmetric 8-bit floats"),
        ({"0": group({"num_bits": 4})}, "not of symmetric 8-bit floats"),
        ({"0": group({"symmetric": False})}, "not of symmetric 8-bit floats"),
        ({"0": group(inputs={"strategy": "group", "group_size": 64})}, "inputs rounded by 'group'"),
        ({"0": group(), "1": group({"strategy": "tensor"})}, "several different schemes"),
        ({"0": None}, "not of symmetric 8-bit floats"),
    ],
)
def test_schemes_that_cannot_be_read_are_named(groups: dict[str, object], what: str) -> None:
    with pytest.raises(RequestError, match=what):
        FloatQuantized.from_config({"config_groups": groups})


@pytest.mark.parametrize(("granularity", "inputs"), [("block", "dynamic"), ("tensor", "dynamic"), ("tensor", "static")])
def test_fine_grained_fp8_comes_back(granularity: str, inputs: str) -> None:
    format_ = FineGrainedFp8(granularity, inputs == "static")  # type: ignore[arg-type]
    weight = stored(granularity, inputs)
    weight = replace(weight, scales=weight.scales.float())
    tensors = format_.compress("a", weight)
    again = FineGrainedFp8.from_config(format_.config(["lm_head"])).decompress("a", tensors)
    assert torch.equal(again.dequantize(), weight.dequantize())
    values = torch.randn(2, 256)
    assert again.activations is not None
    assert weight.activations is not None
    assert torch.equal(again.activations(values), weight.activations(values))


def test_older_names_and_bare_exponents_are_read() -> None:
    weight = stored("tensor", "static")
    assert weight.activations is not None
    assert weight.activations.scale is not None
    tensors = {"a.weight": weight.codes, "a.weight_scale": weight.scales.float(), "a.input_scale": weight.activations.scale.float()}
    assert torch.equal(FineGrainedFp8("tensor", static_inputs=True).decompress("a", tensors).dequantize(), weight.dequantize())
    scales = torch.full((2, 2), 0.25)
    tensors = {"a.weight": weight.codes, "a.weight_scale_inv": scales.to(torch.float8_e8m0fnu)}
    assert torch.equal(FineGrainedFp8().decompress("a", tensors).dequantize(), weight.codes.float() * 0.25)


def test_transformers_own_dequantization_of_blocks_is_ours() -> None:
    from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight

    weight = stored("block", "dynamic", 256, 384)
    theirs = _dequantize_fp8_weight(weight.codes, weight.scales.float(), (128, 128), torch.float32)  # type: ignore[arg-type]
    assert torch.equal(theirs, weight.dequantize())


@pytest.mark.parametrize(
    ("config", "what"),
    [({"fmt": "e5m2"}, "known is e4m3"), ({"weight_block_size": [64, 128]}, "blocks of"), ({"activation_scheme": "mx"}, "activation_scheme")],
)
def test_other_fine_grained_schemes_are_refused(config: dict[str, object], what: str) -> None:
    with pytest.raises(RequestError, match=what):
        FineGrainedFp8.from_config(config)

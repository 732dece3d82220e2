"""What we write is what the package compressed-tensors reads, and transformers computes with it what we computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file, save_file

from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.weights import QuantizedWeights
from core.numerics.grid import Granularity, Grid
from core.quantize.linear.rtn import quantize

WEIGHT_ONLY = [
    CompressedTensors(bits, symmetric, granularity, 32 if granularity == "group" else None)
    for bits in range(2, 9)
    for symmetric in (True, False)
    for granularity in ("group", "channel", "tensor")
]
W8A8 = CompressedTensors(8, True, "channel", None, activation_bits=8)


def grid_of(scheme: CompressedTensors) -> Grid:
    return Grid(scheme.bits, scheme.symmetric, scheme.granularity, scheme.group_size or 0, scale_dtype=torch.bfloat16)


def local(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("layer."): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("scheme", [*WEIGHT_ONLY, W8A8], ids=str)
def test_the_package_decompresses_to_our_values(scheme: CompressedTensors) -> None:
    weight = torch.randn(24, 96, generator=torch.Generator().manual_seed(scheme.bits))
    quantized = quantize(weight, None, grid_of(scheme))
    config = QuantizationConfig.model_validate(
        {key: value for key, value in scheme.config(["lm_head"]).items() if key not in {"version", "dequantize"}}
    )
    found = BaseCompressor.get_value_from_registry(scheme.scheme).decompress(
        local(scheme.compress("layer", quantized)), config.config_groups["group_0"]
    )
    assert torch.equal(found["weight"].float(), quantized.dequantize(torch.bfloat16).float())


@pytest.mark.parametrize("scheme", [*WEIGHT_ONLY, W8A8], ids=str)
def test_decompress_undoes_compress_and_bytes_are_those_on_disk(scheme: CompressedTensors) -> None:
    quantized = quantize(torch.randn(40, 64), None, grid_of(scheme))
    tensors = scheme.compress("layer", quantized)
    rounded = quantized.dequantize() if scheme.symmetric or scheme.granularity == "tensor" else quantized.dequantize(torch.bfloat16).float()
    assert torch.equal(scheme.decompress("layer", tensors).dequantize(), rounded)
    stored = sum(tensor.nbytes for name, tensor in tensors.items() if not name.endswith("weight_shape"))
    assert stored - quantized.nbytes in {0, stored - quantized.nbytes if scheme.granularity == "tensor" and not scheme.symmetric else 0}


def test_groups_that_are_not_neighbours_are_refused() -> None:
    quantized = quantize(torch.randn(4, 64), None, Grid(group_size=32))
    shuffled = type(quantized)(quantized.codes, quantized.scales, None, quantized.group_index.flip(0), 4, "group")
    assert not CompressedTensors(4, True, "group", 32).can_compress(shuffled)
    with pytest.raises(ValueError, match="does not fit"):
        CompressedTensors(4, True, "group", 32).compress("layer", shuffled)


@pytest.mark.parametrize(
    "scheme",
    [
        CompressedTensors(4, True, "group", 32),
        CompressedTensors(4, False, "group", 32),
        CompressedTensors(3, True, "channel", None),
        CompressedTensors(8, False, "tensor", None),
        CompressedTensors(4, True, "group", 32, act_order=True),
        W8A8,
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_transformers_reloads_the_weights_we_meant(scheme: CompressedTensors, tiny_llama_dir: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "model"
    shutil.copytree(tiny_llama_dir, folder)
    rounded_by_loader = torch.bfloat16 if "dequantize" in scheme.config([]) else torch.float32
    tensors: dict[str, torch.Tensor] = {}
    expected: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if "_proj.weight" in name:
            quantized = quantize(tensor, None, grid_of(scheme))
            expected[name] = quantized.dequantize(rounded_by_loader).float()
            tensors |= scheme.compress(name.removesuffix(".weight"), quantized)
        else:
            tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": scheme.config(["lm_head"])}))

    reloaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ours = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32).eval()
    overlay = QuantizedWeights(folder, scheme, rounded_by_loader)
    assert {f"{name}.weight" for name in overlay.linears} == expected.keys()
    assert set(overlay) == set(load_file(tiny_llama_dir / "model.safetensors"))
    for name, values in expected.items():
        assert torch.equal(overlay[name].float(), values)
        ours.get_parameter(name).data = values
    tokens = torch.arange(40).view(2, 20)
    if scheme.activation_bits == 16:
        torch.testing.assert_close(reloaded(tokens).logits, ours(tokens).logits, rtol=1e-5, atol=1e-5)
    else:
        reloaded(tokens)
    for name, values in expected.items():
        assert torch.equal(reloaded.get_parameter(name), values)


@pytest.mark.parametrize(("granularity", "size", "written"), [("group", 32, "weight"), ("channel", None, None), ("tensor", None, None)])
def test_act_order_is_stated_only_for_groups(granularity: Granularity, size: int | None, written: str | None) -> None:
    """Elsewhere compressed-tensors refuses the whole configuration."""
    config: Any = CompressedTensors(4, True, granularity, size, act_order=True).config([])
    assert config["config_groups"]["group_0"]["weights"]["actorder"] == written


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("granularity", ["group", "channel"])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_zero_points_are_unpacked_as_the_package_unpacks_them(bits: int, granularity: Granularity, dtype: torch.dtype) -> None:
    """In the dtype of the scales, also for a model that is loaded in float32."""
    scheme = CompressedTensors(bits, False, granularity, 32 if granularity == "group" else None)
    tensors = scheme.compress("l", quantize(torch.randn(48, 64), None, Grid(bits, False, granularity, 32, scale_dtype=dtype)))
    settings = QuantizationConfig.model_validate(scheme.config([])).config_groups["group_0"]
    local = {name.removeprefix("l."): tensor for name, tensor in tensors.items()}
    theirs = BaseCompressor.get_value_from_registry("pack-quantized").decompress(local, settings)["weight"]
    assert torch.equal(scheme.decompress("l", tensors).dequantize(), theirs.float())

"""Quantized folders open as the models that they stand for, whoever made them; what cannot be read is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import RequestError
from core.evaluate.logits.sources import StreamedLogits
from core.formats.base import Format
from core.formats.layouts.awq import Awq
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.layouts.gptq import Gptq
from core.formats.opening import open_streamed, open_whole
from core.models.card import ModelCard
from core.models.load import load_model
from core.numerics.grid import Grid
from core.quantize.linear.rtn import quantize

SCHEMES: dict[str, tuple[Format, Grid]] = {
    "gptq": (Gptq(4, True, 32), Grid(4, True, "group", 32, scale_dtype=torch.float16)),
    "gptq 3 bits": (Gptq(3, False, None), Grid(3, False, "channel", scale_dtype=torch.float16, reserved=1)),
    "awq": (Awq(32), Grid(4, False, "group", 32, scale_dtype=torch.float16)),
    "compressed-tensors": (CompressedTensors(4, True, "group", 32), Grid(4, True, "group", 32, scale_dtype=torch.bfloat16)),
    "W8A8": (CompressedTensors(8, True, "channel", None, activation_bits=8), Grid(8, True, "channel", scale_dtype=torch.bfloat16)),
}


def written(model: Path, folder: Path, scheme: Format, grid: Grid, linears: str = "_proj.weight") -> dict[str, Tensor]:
    """A quantized copy of a model folder; returns what its linears stand for."""
    shutil.copytree(model, folder)
    tensors: dict[str, Tensor] = {}
    expected: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name.endswith(linears):
            quantized = quantize(tensor.float(), None, grid)
            expected[name] = quantized.dequantize()
            tensors |= scheme.compress(name.removesuffix(".weight"), quantized)
        else:
            tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    change_config(folder, lambda config: config | {"quantization_config": scheme.config(["lm_head"])})
    return expected


def change_config(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    (folder / "config.json").write_text(json.dumps(change(json.loads((folder / "config.json").read_text()))))


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("name", SCHEMES)
def test_streamed_and_whole_are_the_model_that_the_files_stand_for(name: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    scheme, grid = SCHEMES[name]
    expected = written(tiny_llama_dir, tmp_path / "q", scheme, grid)
    plain = load_model(tiny_llama_dir, torch.float32)
    for parameter, values in expected.items():
        plain.get_parameter(parameter).data = values
    tokens = torch.arange(2 * 24).view(2, 24)
    whole = open_whole(tmp_path / "q", torch.float32)
    with torch.no_grad(), open_streamed(tmp_path / "q", torch.float32) as streamed:
        assert all(torch.equal(whole.get_parameter(parameter), values) for parameter, values in expected.items())
        logits = torch.cat(list(StreamedLogits(streamed).logits(tokens)))
        torch.testing.assert_close(logits, whole(tokens).logits, rtol=1e-4, atol=1e-5)
        same = torch.allclose(logits, plain(tokens).logits, rtol=1e-4, atol=1e-5)
    assert same == (name != "W8A8")


def test_a_description_beside_config_json_counts(tiny_llama_dir: Path, tmp_path: Path) -> None:
    """AutoGPTQ wrote quantize_config.json and left config.json as it was."""
    scheme, grid = SCHEMES["gptq"]
    expected = written(tiny_llama_dir, tmp_path / "q", scheme, grid)
    change_config(tmp_path / "q", lambda config: {key: value for key, value in config.items() if key != "quantization_config"})
    with pytest.raises(RequestError, match=r"qweight.*quantize_config\.json"):
        open_whole(tmp_path / "q")
    (tmp_path / "q" / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 32, "desc_act": False, "sym": True}))
    assert (ModelCard.from_folder(tmp_path / "q").quantization or {})["quant_method"] == "gptq"
    whole = open_whole(tmp_path / "q", torch.float32)
    assert all(torch.equal(whole.get_parameter(parameter), values) for parameter, values in expected.items())


def test_a_quantized_head_is_read(tiny_llama_dir: Path, tmp_path: Path) -> None:
    scheme, grid = SCHEMES["gptq"]
    expected = written(tiny_llama_dir, tmp_path / "q", scheme, grid, linears="lm_head.weight")
    assert torch.equal(open_whole(tmp_path / "q", torch.float32).get_parameter("lm_head.weight"), expected["lm_head.weight"])


PROJECTION = "model.layers.1.mlp.up_proj"

DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a packed weight that is missing": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: tensors.pop(f"{PROJECTION}.qweight")),
        f"{PROJECTION}.*parts of that linear are missing",
    ),
    "scales that are missing": (
        "compressed-tensors",
        lambda folder: change_tensors(folder, lambda tensors: tensors.pop(f"{PROJECTION}.weight_scale")),
        f"{PROJECTION}.*parts of that linear are missing",
    ),
    "a plain weight beside the packed one": (
        "awq",
        lambda folder: change_tensors(folder, lambda tensors: tensors.update({f"{PROJECTION}.weight": torch.zeros(128, 64)})),
        f"{PROJECTION}.weight.*stored twice",
    ),
    "a linear too many": (
        "awq",
        lambda folder: change_tensors(
            folder, lambda t: t.update({k.replace("layers.1", "layers.7"): v.clone() for k, v in t.items() if "1.mlp.up" in k})
        ),
        "model.layers.7.mlp.up_proj.*not part of the model",
    ),
    "no quantized linear at all": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if "_proj" in name]),
        "no tensor is: remove quantization_config",
    ),
    "a method that is not known": (
        "gptq",
        lambda folder: change_config(folder, lambda config: config | {"quantization_config": {"quant_method": "quip\x1b[2J"}}),
        "'quip\N{REPLACEMENT CHARACTER}",
    ),
    "zero points of version 2": (
        "gptq",
        lambda folder: change_tensors(folder, lambda tensors: tensors[f"{PROJECTION}.qzeros"].add_(0x11111111)),
        f"{PROJECTION}.qzeros.*checkpoint_format to gptq_v2",
    ),
    "another shape than the model's": (
        "compressed-tensors",
        lambda folder: change_config(folder, lambda config: config | {"intermediate_size": 96}),
        "does not belong|do not belong",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_what_cannot_be_read_is_named(case: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    scheme, harm, words = DAMAGE[case]
    written(tiny_llama_dir, tmp_path / "q", *SCHEMES[scheme])
    harm(tmp_path / "q")
    with pytest.raises(RequestError, match=words) as caught:
        open_streamed(tmp_path / "q").load_whole()
    assert "\x1b" not in str(caught.value)


MOE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "moe_intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 320,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "pad_token_id": 0,
}


def test_experts_that_are_fused_in_memory_are_read_one_by_one(tmp_path: Path) -> None:
    """Files keep each expert's linear, as every quantizer writes them; transformers 5 fuses them while it loads."""
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(0)
    Qwen3MoeForCausalLM(Qwen3MoeConfig(**MOE)).bfloat16().save_pretrained(tmp_path / "plain")
    tensors = load_file(tmp_path / "plain" / "model.safetensors")
    assert "model.layers.0.mlp.experts.3.down_proj.weight" in tensors
    scheme, grid = SCHEMES["gptq"]
    expected = written(tmp_path / "plain", tmp_path / "q", scheme, grid)
    shutil.copytree(tmp_path / "plain", tmp_path / "rounded")
    change_tensors(tmp_path / "rounded", lambda found: found.update(expected))
    tokens = torch.arange(24).view(1, 24)
    with torch.no_grad(), open_streamed(tmp_path / "q", torch.float32) as streamed:
        logits = torch.cat(list(StreamedLogits(streamed).logits(tokens)))
        torch.testing.assert_close(logits, load_model(tmp_path / "rounded", torch.float32)(tokens).logits, rtol=1e-4, atol=1e-5)

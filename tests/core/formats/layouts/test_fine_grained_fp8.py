"""A folder as DeepSeek's are: blocks of 8-bit floats with `weight_scale_inv`, opened and run as its definition says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import RequestError
from core.formats.opening import open_streamed, open_whole


@pytest.fixture
def deepseek_style(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    """The tiny Llama with its linears in 8-bit floats; sides of 64 and 128, so that blocks are partly empty."""
    folder = tmp_path / "fp8"
    shutil.copytree(tiny_llama_dir, folder)
    tensors: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = tensor
            continue
        scale = tensor.float().abs().max() / 448
        tensors[name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = scale.view(1, 1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    settings = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    return folder


def rounded(inputs: Tensor) -> Tensor:
    """One scale a token and 128 features; rows here have no more."""
    scale = inputs.abs().amax(-1, keepdim=True) / 448
    return (inputs / scale).to(torch.float8_e4m3fn).float() * scale


@torch.no_grad()
def test_it_runs_as_its_definition_says(deepseek_style: Path, tiny_llama_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    expected = AutoModelForCausalLM.from_pretrained(tiny_llama_dir, dtype=torch.float32).eval()
    stored = load_file(deepseek_style / "model.safetensors")
    for name, module in expected.named_modules():
        if name.endswith("_proj"):
            module.weight.data = stored[f"{name}.weight"].float() * stored[f"{name}.weight_scale_inv"]
            module.register_forward_pre_hook(lambda _module, arguments: (rounded(arguments[0]),))
    tokens = torch.arange(40).view(1, 40) + 5
    found = open_whole(deepseek_style, torch.float32)
    torch.testing.assert_close(found(tokens).logits, expected(tokens).logits, rtol=1e-4, atol=1e-5)


def test_missing_scales_are_named(deepseek_style: Path) -> None:
    file = deepseek_style / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.0.mlp.up_proj.weight_scale_inv"] = torch.ones(2, 2)
    save_file(tensors, file, metadata={"format": "pt"})
    with (
        pytest.raises(RequestError, match=r"model\.layers\.0\.mlp\.up_proj\.weight_scale_inv"),
        open_streamed(deepseek_style, torch.float32) as model,
    ):
        model.load_block(0)

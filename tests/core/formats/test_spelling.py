"""Tensors that are called otherwise than the model's modules: groups mean either name, and a foreign prefix is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import RequestError
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.opening import open_streamed, open_whole
from core.models.load import load_model
from core.numerics.grid import Grid
from core.quantize.linear.rtn import quantize

TOKENS = torch.arange(2, 42).view(1, -1)


def by_name(linears: list[str]) -> list[str]:
    return [f"model.{name}" for name in linears]


def by_expression(_: list[str]) -> list[str]:
    return [r"re:model\.layers\.0\..*_proj"]


def by_name_of_the_file(linears: list[str]) -> list[str]:
    return linears


@torch.no_grad()
@pytest.mark.parametrize("others", ["names", "class"])
@pytest.mark.parametrize("first", [by_name, by_expression, by_name_of_the_file])
def test_groups_mean_linears_by_the_name_of_the_module_too(
    first: Callable[[list[str]], list[str]], others: str, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    stored, dense = {}, {}
    linears: dict[int, list[str]] = {4: [], 8: []}
    for name, tensor in load_file(tiny_llama_dir / "model.safetensors").items():
        name = name.removeprefix("model.")
        stored[name] = dense[name] = tensor
        if name.endswith("_proj.weight"):
            bits, linear = 4 if name.startswith("layers.0.") else 8, name.removesuffix(".weight")
            rounded = quantize(tensor.float(), None, Grid(bits, True, "channel", scale_dtype=torch.float32))
            stored |= CompressedTensors(bits, True, "channel", None).compress(linear, rounded)
            dense[name] = rounded.dequantize()
            del stored[name]
            linears[bits].append(linear)
    for folder, tensors in ((tmp_path / "q", stored), (tmp_path / "dense", dense)):
        shutil.copytree(tiny_llama_dir, folder)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    stated = CompressedTensors(4, True, "channel", None).config(["lm_head"])
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "channel"}
    targets = {4: first(linears[4]), 8: ["Linear"] if others == "class" else by_name(linears[8])}
    stated["config_groups"] = {f"group_{bits}": {"targets": targets[bits], "weights": weights | {"num_bits": bits}} for bits in (4, 8)}
    config = tmp_path / "q" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": stated}))
    expected = load_model(tmp_path / "dense", torch.float32)(TOKENS).logits
    torch.testing.assert_close(open_whole(tmp_path / "q", torch.float32)(TOKENS).logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix", ["language_model", "base_model.model", "module", "thinker.language_model"])
@pytest.mark.parametrize("read", [open_streamed, load_model])
def test_a_foreign_prefix_is_named(read: Callable[[Path], object], prefix: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama_dir, tmp_path / "m")
    tensors = {f"{prefix}.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RequestError, match=rf"whose tensors have the prefix '{prefix}'|'{prefix}\.lm_head.weight' .*is not part of the model"):
        read(folder)

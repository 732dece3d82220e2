"""Logits of a checkpoint as this program reads it, and as transformers does."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.formats.opening import open_streamed


def with_outliers(folder: Path, to: Path) -> Path:
    """A Llama that computes the same, but whose norms put out a few features 64 times as large, read by weights that are as much smaller."""
    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    for name, tensor in weights.items():
        if name.endswith("layernorm.weight"):
            tensor[::13] *= 64
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight", "gate_proj.weight", "up_proj.weight")):
            tensor[:, ::13] /= 64
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    return to


def by_us(folder: Path, tokens: Tensor) -> Tensor:
    """Block by block, linears dequantized."""
    with open_streamed(folder, torch.float32) as streamed:
        inputs = streamed.capture(tokens)
        hidden = inputs.hidden
        for index in range(streamed.n_blocks):
            hidden = streamed.run_block(streamed.load_block(index), hidden, index, inputs)
        return streamed.logits(hidden)


def by_transformers(folder: Path, tokens: Tensor) -> Tensor:
    """The whole model, with the packages that transformers calls for the format."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(tokens).logits

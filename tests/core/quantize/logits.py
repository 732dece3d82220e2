"""Logits of a checkpoint as this program reads it, and as transformers does."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from core.formats.opening import open_streamed


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

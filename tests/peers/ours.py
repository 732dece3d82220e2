"""What we make of a checkpoint: the log-probabilities of its dequantized weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from core.formats.registry import read_format
from core.models.resolve import resolve
from core.models.streaming import StreamedModel
from core.quantize.checkpoint import open_quantized, written_as


@torch.no_grad()
def dequantized_log_probabilities(folder: Path, original: Path, windows: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Log-probabilities float32 [N, T, V] of a quantized checkpoint for windows of tokens [N, T], arithmetic in `dtype`."""
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    with (
        StreamedModel.open(original, dtype) as plain,
        open_quantized(resolve(str(original)), written_as(folder, read_format(config, folder)), plain) as model,
    ):
        inputs = model.capture(windows)
        hidden = inputs.hidden
        for index in range(model.n_blocks):
            hidden = model.run_block(model.load_block(index), hidden, index, inputs)
            model.release_block(index)
        return torch.log_softmax(model.logits(hidden).float(), dim=-1)

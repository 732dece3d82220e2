"""What we make of a checkpoint: the log-probabilities of its dequantized weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from core.formats.opening import open_streamed


@torch.no_grad()
def dequantized_log_probabilities(folder: Path, windows: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Log-probabilities float32 [N, T, V] of a quantized checkpoint for windows of tokens [N, T], arithmetic in `dtype`."""
    with open_streamed(folder, dtype) as model:
        inputs = model.capture(windows)
        hidden = inputs.hidden
        for index in range(model.n_blocks):
            hidden = model.run_block(model.load_block(index), hidden, index, inputs)
            model.release_block(index)
        return torch.log_softmax(model.logits(hidden).float(), dim=-1)

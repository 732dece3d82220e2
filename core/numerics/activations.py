"""Activations as W8A8 kernels see them: rounded to int8 with one scale a token, found at run time."""

from __future__ import annotations

import torch
from torch import Tensor


def round_tokens(activations: Tensor) -> Tensor:
    """Round each token, that is each slice along the last dimension, to 256 steps symmetric around zero; the convention of compressed-tensors."""
    largest = activations.abs().amax(dim=-1, keepdim=True)
    scales = largest / 127.5
    scales = torch.where(scales == 0, torch.finfo(activations.dtype).eps, scales)
    return torch.clamp(torch.round(activations / scales), -128, 127) * scales

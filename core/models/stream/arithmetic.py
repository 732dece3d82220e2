"""The arithmetic that a model is run in."""

from __future__ import annotations

import torch

from core.models.card import ModelCard
from core.numerics.products import multiplies_bfloat16
from core.spec import Dtype

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def arithmetic(card: ModelCard, device: str, dtype: Dtype = "auto") -> torch.dtype:
    """What was asked for; `auto` is float32 on a CPU, where it costs little, and the checkpoint's own elsewhere."""
    if dtype != "auto":
        return _DTYPES[dtype]
    return torch.float32 if device == "cpu" else _DTYPES.get(card.dtype, torch.bfloat16)


def looking_arithmetic(card: ModelCard, device: str) -> torch.dtype:
    """As `arithmetic`, for work that only looks at inputs: bfloat16 for a bfloat16 model where the CPU has units for such products."""
    return torch.bfloat16 if card.dtype == "bfloat16" and multiplies_bfloat16() else arithmetic(card, device)

"""The arithmetic of a training."""

from __future__ import annotations

import torch


def fast_bfloat16(device: torch.device | str) -> bool:
    """Whether products in bfloat16 are done by the hardware of a device."""
    if torch.device(device).type == "cuda":
        return True
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()

"""Models whose keys have outlier channels, as trained models have them, and the cache that such channels spoil."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.kvcache.schemes.kivi import Kivi2Layer


@torch.no_grad()
def add_outlier_channels(model: Any, *, pairs: tuple[int, ...], factor: float) -> None:
    """Scale some channels of every key head up and the matching ones of its query heads down; what the model says stays the same.

    Args:
        model: Llama-like, without norms of queries and keys; changed in place.
        pairs: rotary pairs of each key head: channels i and i + d / 2 together, so that rotations leave the factor alone.
        factor: of the keys; queries are divided by it. A power of two rounds nothing.
    """
    width = model.config.head_dim
    channels = torch.tensor([channel for pair in pairs for channel in (pair, pair + width // 2)])
    for block in model.model.layers:
        attention = block.self_attn
        for linear, scale in ((attention.k_proj, factor), (attention.q_proj, 1 / factor)):
            linear.weight.view(-1, width, linear.in_features)[:, channels] *= scale


class TokenKeysLayer(Kivi2Layer):
    """KIVI at 2 bits but for the keys, which are quantized by token as the values are."""

    def _encode_keys(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._encode_values(block)

    def _decode_keys(self, out: Tensor) -> None:
        self._decode_tokens(self._keys, out)

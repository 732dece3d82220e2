"""Attention of a few queries over a cache, and the masks that say what they may look at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def strip(count: int, past: int, window: int | None, groups: int, like: Tensor) -> Tensor:
    """A causal mask from which those of all lengths are cut: its last w columns are the mask over w slots.

    Args:
        count: n, the new tokens.
        past: slots before them, at most.
        window: tokens that each looks back, itself counted; None for all.
        groups: each token's row is repeated so many times.
        like: gives dtype and device.

    Returns:
        0 where a query looks and -inf elsewhere, [n * groups, past + n].
    """
    slots = torch.arange(past + count, device=like.device)
    distance = torch.arange(past, past + count, device=like.device)[:, None] - slots
    hidden = distance < 0
    if window is not None:
        hidden |= distance >= window
    return _floats(hidden, groups, like)


def mask_of(looked_at: Tensor, groups: int, like: Tensor) -> Tensor:
    """The same from what is looked at, bool [B or 1, n, slots]: [B or 1, 1, n * groups, slots]."""
    return _floats(~looked_at, groups, like).unsqueeze(1)


def _floats(hidden: Tensor, groups: int, like: Tensor) -> Tensor:
    mask = like.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
    return mask if groups == 1 else mask.repeat_interleave(groups, dim=-2)


def capped(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float, cap: float) -> Tensor:
    """Attention whose scores are squeezed into -cap to cap (Gemma 2, arXiv 2408.00118); shapes as of scaled_dot_product_attention."""
    groups = query.shape[1] // keys.shape[1]
    if groups > 1:
        keys, values = keys.repeat_interleave(groups, dim=1), values.repeat_interleave(groups, dim=1)
    scores = torch.matmul(query, keys.transpose(2, 3)).mul_(scaling / cap).tanh_().mul_(cap)
    if mask is not None:
        scores += mask
    return torch.matmul(functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype), values)

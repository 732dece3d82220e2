"""How much attention each slot of a cache receives: what evicting schemes choose by."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_mass(query: Tensor, keys: Tensor, scaling: float) -> Tensor:
    """Attention weights summed over queries, as the mean of the query heads that share a key head.

    Args:
        query: [B, heads, n, d], of the n newest slots; each looks at the slots before it and at its own.
        keys: [B, kv heads, t, d], t >= n.
        scaling: of the products.

    Returns:
        float32 [B, kv heads, t].
    """
    batch, heads, count, width = query.shape
    kv_heads, slots = keys.shape[1], keys.shape[2]
    grouped = query.reshape(batch, kv_heads, heads // kv_heads * count, width)
    scores = (grouped @ keys.transpose(2, 3)).float().mul_(scaling).view(batch, kv_heads, -1, count, slots)
    if count > 1:
        later = torch.ones(count, slots, dtype=torch.bool, device=query.device).triu_(slots - count + 1)
        scores.masked_fill_(later, -torch.inf)
    return scores.softmax(-1).sum(3).mean(2)

"""Relations between tokens (MiniLMv2, arXiv 2012.15828): how much queries, keys and values of a block resemble each other, token by token.

A relation is softmax(A Aᵀ / √d) of A = queries, keys or values, split into as many relation heads as both sides can be split into, so that
neither widths nor heads need to agree. As the model is causal, a token is related to itself and those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

import torch
from torch import Tensor
from torch.nn import functional


def relation_loss(target: Mapping[str, Tensor], found: Mapping[str, Tensor], counted: Tensor, heads: int) -> Tensor:
    """The mean KL divergence of the student's relations from the teacher's over names, relation heads and positions, float32 [].

    Args:
        target: the teacher's projections [B, T, d] by name.
        found: the student's under the same names, perhaps of another width.
        counted: positions whose relations count, bool [B, T].
        heads: relation heads, at most; fewer where a width cannot be split into as many.
    """
    losses = []
    for name, ours in found.items():
        theirs = target[name]
        common = relation_heads(theirs.shape[-1], ours.shape[-1], heads)
        wanted, given = (_relations(each.float(), common) for each in (theirs, ours))
        kl = functional.kl_div(given, wanted, reduction="none", log_target=True).masked_fill(~_before(given.shape[-1], given), 0)
        losses.append(kl.sum(-1).mean(1)[counted].mean())
    return torch.stack(losses).mean()


def relation_heads(theirs: int, ours: int, most: int) -> int:
    """The largest number up to `most` that divides both widths."""
    common = gcd(theirs, ours)
    return max(heads for heads in range(1, most + 1) if common % heads == 0)


def _relations(states: Tensor, heads: int) -> Tensor:
    """Log-probabilities [B, heads, T, T]; places after a token have a large negative one."""
    rows, length, width = states.shape
    split = states.view(rows, length, heads, width // heads).transpose(1, 2)
    products = split @ split.transpose(2, 3) / (width // heads) ** 0.5
    found: Tensor = products.masked_fill(~_before(length, states), -1e9).log_softmax(-1)
    return found


def _before(length: int, like: Tensor) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool, device=like.device).tril()

"""Which slots of a cache stay: pure choices by scores, and taking them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def heavy_and_recent(scores: Tensor, budget: int) -> Tensor:
    """Slots that H2O keeps: the newer half of the budget, and of the slots before it those with the highest scores (arXiv 2306.14048).

    Args:
        scores: [..., t], t > budget.
        budget: slots that stay; the heavy half is the smaller one.

    Returns:
        int64 [..., budget], ascending.
    """
    heavy = budget // 2
    older = scores.shape[-1] - (budget - heavy)
    recent = torch.arange(older, scores.shape[-1], device=scores.device).expand(*scores.shape[:-1], -1)
    if older - heavy == 1:
        left_out = scores[..., :older].argmin(-1, keepdim=True)
        slots = torch.arange(heavy, device=scores.device)
        return torch.cat((slots + (slots >= left_out), recent), dim=-1)
    chosen = scores[..., :older].topk(heavy, dim=-1, sorted=False).indices.sort(-1).values
    return torch.cat((chosen, recent), dim=-1)


def snapkv_keep(votes: Tensor, budget: int, observed: int, pooling: int) -> Tensor:
    """Slots that SnapKV keeps: the observation window, and of the slots before it those with the highest pooled votes (arXiv 2404.14469).

    Args:
        votes: [..., t], attention that the window's queries pay; t > budget.
        budget: slots that stay, the window among them.
        observed: slots of the window, fewer than the budget.
        pooling: odd width of the max-pooling by which neighbours of a slot are kept with it.

    Returns:
        int64 [..., budget], ascending.
    """
    older = votes.shape[-1] - observed
    flat = votes[..., :older].reshape(1, -1, older)
    pooled = functional.max_pool1d(flat, pooling, stride=1, padding=pooling // 2).view(*votes.shape[:-1], older)
    chosen = pooled.topk(budget - observed, dim=-1, sorted=False).indices.sort(-1).values
    window = torch.arange(older, votes.shape[-1], device=votes.device).expand(*votes.shape[:-1], -1)
    return torch.cat((chosen, window), dim=-1)


def take(states: Tensor, slots: Tensor, out: Tensor | None = None) -> Tensor:
    """Rows of keys and values.

    Args:
        states: [2, B, kv heads, t, d], contiguous.
        slots: int64 [B, kv heads, k].
        out: where to put them, contiguous; default: new memory.

    Returns:
        [2, B, kv heads, k, d].
    """
    pair, batch, heads, count, width = states.shape
    first = torch.arange(pair * batch * heads, device=states.device).mul_(count).view(pair, batch, heads, 1)
    shape = (pair, batch, heads, slots.shape[-1], width)
    into = states.new_empty(shape) if out is None else out
    torch.index_select(states.view(-1, width), 0, (first + slots).flatten(), out=into.view(-1, width))
    return into

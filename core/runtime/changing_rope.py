"""Rotary positions whose frequencies change once with the length of the text (LongRoPE, arXiv 2402.13753).

Keys that were rotated by one set of frequencies do not match queries of the other: where the length crosses the model's original context,
all keys are computed again, as transformers' `generate` does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def original_context(config: Any) -> int | None:
    """The length up to which the short frequencies hold; None for a model whose frequencies do not change."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [part for part in (rope, *rope.values()) if isinstance(part, dict) and part.get("rope_type") == "longrope"]
    lengths = [part.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None) for part in kinds]
    return min((int(length) for length in lengths if length), default=None)


class TokenHistory:
    """Which token is in each slot of a cache, so that keys can be computed again.

    Args:
        switch: length up to which the short frequencies hold.
    """

    def __init__(self, switch: int) -> None:
        self._switch = switch
        self.tokens = torch.empty(0, 0, dtype=torch.int64)
        """[B, slots]."""
        self.real = torch.empty(0, 0, dtype=torch.bool)
        """[B, slots], False for padding and holes."""
        self._long = False

    def reset(self, batch: int, device: torch.device) -> None:
        """Forget the sequences."""
        self.tokens = torch.empty(batch, 0, dtype=torch.int64, device=device)
        self.real = torch.empty(batch, 0, dtype=torch.bool, device=device)
        self._long = False

    def append(self, tokens: Tensor, real: Tensor | None, depth: int) -> bool:
        """Take tokens [B, n], bool [B, n] False for padding, the deepest `depth` positions on; whether the keys before them have to be made again."""
        new = torch.ones_like(tokens, dtype=torch.bool) if real is None else real.to(tokens.device)
        taken = int(self.real.sum(1).max()) + (depth if real is None else int(new.sum(1).max()))
        before, self._long = self._long, taken > self._switch
        stale = before != self._long and self.tokens.shape[1] > 0
        self.tokens, self.real = torch.cat((self.tokens, tokens), 1), torch.cat((self.real, new), 1)
        return stale

    def keep(self, counts: Tensor, of: int) -> None:
        """Of the last `of` slots row b keeps its first `counts[b]`."""
        first = self.tokens.shape[1] - of
        last = first + int(counts.max())
        self.real[:, first:] &= torch.arange(of, device=self.real.device) < counts.to(self.real.device)[:, None]
        self.tokens, self.real = self.tokens[:, :last], self.real[:, :last]

    def select(self, slots: Tensor, of: int) -> None:
        """Of the last `of` slots keep those at `slots`."""
        first = self.tokens.shape[1] - of
        kept = torch.cat((torch.arange(first, device=slots.device), first + slots)).to(self.tokens.device)
        self.tokens, self.real = self.tokens[:, kept], self.real[:, kept]

"""Models small enough to check by hand: tables of logits instead of networks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Bigram(nn.Module):
    """Logits that depend on the current token and its position: [T, V, V] table, so that windows matter."""

    def __init__(self, vocabulary: int, context: int, seed: int, scale: float = 2.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(context, vocabulary, vocabulary, generator=generator) * scale)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.table[torch.arange(tokens.shape[1]), tokens]


class Fixed:
    """A source that answers given logits [N, T, V], in chunks of the given sizes."""

    def __init__(self, logits: Tensor, sizes: list[int] | None = None) -> None:
        self._logits = logits
        self._sizes = sizes or [len(logits)]

    def logits(self, windows: Tensor) -> Iterator[Tensor]:
        yield from self._logits.split(self._sizes)

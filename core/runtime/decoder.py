"""A model together with its cache, ready to go on: what every decode loop, drafter and measurement is written against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.runtime.cache import KvCache


@dataclass(frozen=True)
class Tree:
    """Tokens behind a sequence that are alternatives of each other; node i is at `depths[i]` tokens behind the sequence.

    ancestors: bool [n, n], whether node i looks at node j; the diagonal is True. depths: int64 [n], 0 for what follows the sequence directly.
    """

    ancestors: Tensor
    depths: Tensor

    @classmethod
    def of(cls, parents: Sequence[int]) -> Tree:
        """A tree by the parent of each node, -1 at the root; parents stand before their children."""
        count = len(parents)
        ancestors = torch.eye(count, dtype=torch.bool)
        depths = torch.zeros(count, dtype=torch.int64)
        for node, parent in enumerate(parents):
            if parent >= 0:
                ancestors[node] |= ancestors[parent]
                depths[node] = depths[parent] + 1
        return cls(ancestors, depths)


class Decoder(Protocol):
    """Appends tokens to the sequences of a batch and predicts what follows them."""

    vocabulary: int
    device: torch.device
    dtype: torch.dtype
    max_tokens: int
    """Slots that may be used; the model's context where the cache has no limit of its own."""
    batch: int
    cache: KvCache
    hidden: Tensor
    """[B, n, H]: what the head read in the last forward, or [B, 1, H] when only the last was asked for."""

    @property
    def length(self) -> int:
        """Slots in use, padding and holes counted."""

    def reset(self, batch: int = 1) -> None:
        """Forget the sequences; memory stays."""

    def forward(self, tokens: Tensor, *, real: Tensor | None = None, tree: Tree | None = None, last: bool = False) -> Tensor:
        """Append tokens and predict.

        Args:
            tokens: int64 [B, n].
            real: bool [B, n], False for padding: it takes a slot but no position, and is never looked at. None: all are real.
            tree: the tokens are nodes of a tree (batch 1).
            last: only predict what follows the last token.

        Returns:
            Logits [B, n, V], or [B, 1, V] with `last`.

        Raises:
            RequestError: more tokens than the cache or the model's context hold, or a cache whose scheme cannot do what is asked.
        """

    def keep(self, counts: Sequence[int], of: int) -> None:
        """Of the last `of` slots row b keeps its first `counts[b]`; where rows differ, holes stay that are not looked at.

        Raises:
            RequestError: the cache's scheme cannot take tokens back, or not row by row.
        """

    def select(self, slots: Tensor) -> None:
        """Of the nodes of the last tree keep those at `slots`, int64 [k] ascending: a path from its root (batch 1)."""

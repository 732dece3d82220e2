"""Which slots of a batch's cache hold real tokens, and at which position each row continues."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import RequestError
from core.runtime.decoder import Tree


class Rows:
    """Slots are the same for all rows; a row that has fewer real tokens than others has holes, which nobody looks at.

    As long as no row has a hole nothing is kept but two numbers.
    """

    def __init__(self, batch: int, max_tokens: int, device: torch.device) -> None:
        self.batch, self.length = batch, 0
        self._max_tokens, self._device = max_tokens, device
        self._real: Tensor | None = None
        self._next: Tensor | None = None
        """Position of each row's next token, int64 [B], once a row has holes."""
        self._places: Tensor | None = None
        """Position of the token in each slot, int64 [B, max tokens], once a row has holes."""
        self._tree: Tree | None = None

    def append(self, count: int, real: Tensor | None, tree: Tree | None, *, pads: bool) -> Tensor:
        """Take `count` slots; the rotary position of each new token, int64 [B, n] (or [1, n] while all rows are alike).

        Raises:
            RequestError: they do not fit, or there would be holes in a cache whose scheme moves its slots.
        """
        if self.length + count > self._max_tokens:
            raise RequestError(f"the cache holds {self._max_tokens} tokens and {self.length + count} are needed: request a longer one")
        if tree is not None and self.batch != 1:
            raise RequestError("trees are verified one sequence at a time: use a batch of 1")
        if real is not None and not bool(real.all()):
            self._make_holes(pads)
        self._tree = tree
        if self._real is None or self._next is None or self._places is None:
            depths = torch.arange(count, device=self._device) if tree is None else tree.depths.to(self._device)
            positions = (self.length + depths)[None]
        else:
            new = torch.ones(self.batch, count, dtype=torch.bool, device=self._device) if real is None else real.to(self._device)
            self._real[:, self.length : self.length + count] = new
            depths = (new.cumsum(1) - 1).clamp_(min=0) if tree is None else tree.depths.to(self._device)
            positions = self._next[:, None] + depths
            self._places[:, self.length : self.length + count] = positions
            self._next = self._next + new.sum(1)
        self.length += count
        return positions

    @property
    def plain(self) -> bool:
        """Whether no row has a hole: the next token's position is the number of slots."""
        return self._real is None

    def advance(self, count: int) -> None:
        """Take `count` slots for real tokens of plain rows. Raises RequestError: they do not fit."""
        if self.length + count > self._max_tokens:
            raise RequestError(f"the cache holds {self._max_tokens} tokens and {self.length + count} are needed: request a longer one")
        self.length += count
        self._tree = None

    def keep(self, counts: Sequence[int], of: int, *, pads: bool) -> int:
        """Of the last `of` slots row b keeps its first `counts[b]`; returns how many slots nobody keeps."""
        most = max(counts)
        if min(counts) != most:
            self._make_holes(pads)
        first = self.length - of
        if self._real is not None and self._next is not None and self._places is not None:
            kept = torch.tensor(counts, device=self._device)[:, None] > torch.arange(of, device=self._device)
            window = self._real[:, first : first + of]
            self._next = self._next - (window & ~kept).sum(1)
            window &= kept
        self.length = first + most
        return of - most

    def select(self, slots: Tensor) -> int:
        """Keep these nodes of the last tree; returns how many nodes it had."""
        if self._tree is None:
            raise RuntimeError("no tree was appended last")
        of = len(self._tree.depths)
        self._tree = None
        if self._real is not None and self._next is not None and self._places is not None:
            self._next = self._next - (of - len(slots))
            first = self.length - of
            self._places[:, first : first + len(slots)] = self._next[:, None] + torch.arange(-len(slots), 0, device=self._device)
        self.length += len(slots) - of
        return of

    def real_slots(self) -> Tensor | None:
        """Bool [B, slots]; None when there are no holes."""
        return None if self._real is None else self._real[:, : self.length]

    def looked_at(self, count: int, tree: Tree | None, window: int | None = None) -> Tensor:
        """What each of the last `count` tokens may look at: bool [B or 1, n, slots].

        Args:
            count: n.
            tree: if the tokens are one.
            window: positions that a token looks back, its own counted; None for all.
        """
        past = self.length - count
        seen = torch.ones(count, count, dtype=torch.bool, device=self._device).tril() if tree is None else tree.ancestors.to(self._device)
        mask = torch.cat((torch.ones(count, past, dtype=torch.bool, device=self._device), seen), dim=1)[None]
        if window is not None:
            places = self._positions(count, tree)
            mask = mask & (places[:, None] > places[:, past:, None] - window)
        if self._real is not None:
            mask = mask & self._real[:, None, : self.length]
            own = torch.arange(count, device=self._device)
            mask[:, own, past + own] = True
        return mask

    def _positions(self, count: int, tree: Tree | None) -> Tensor:
        """Position of the token in each slot, int64 [B or 1, slots]; the last `count` are new."""
        if self._places is not None:
            return self._places[:, : self.length]
        places = torch.arange(self.length, device=self._device)
        if tree is not None:
            places[self.length - count :] = self.length - count + tree.depths.to(self._device)
        return places[None]

    def _make_holes(self, pads: bool) -> None:
        """From now on keep which slots are real."""
        if not pads:
            raise RequestError(
                "rows of different lengths need a cache whose slots stay in place: decode one sequence at a time, or use another scheme"
            )
        if self._real is None:
            self._real = torch.zeros(self.batch, self._max_tokens, dtype=torch.bool, device=self._device)
            self._real[:, : self.length] = True
            self._places = torch.zeros(self.batch, self._max_tokens, dtype=torch.int64, device=self._device)
            self._places[:, : self.length] = torch.arange(self.length, device=self._device)
            self._next = torch.full((self.batch,), self.length, dtype=torch.int64, device=self._device)

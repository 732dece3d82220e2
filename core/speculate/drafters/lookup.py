"""Prompt lookup: what followed the last tokens when they last stood in the text is drafted again (Saxena, "Prompt Lookup Decoding", 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.speculate.drafters.base import Proposal


class NgramIndex:
    """A text that grows, with the place behind the most recent occurrence of each of its n-grams.

    An n-gram enters the index when a token follows it, so that the end of the text is never found in itself.

    Args:
        shortest, longest: lengths of the n-grams.
    """

    def __init__(self, shortest: int, longest: int) -> None:
        self.tokens: list[int] = []
        self._sizes = range(longest, shortest - 1, -1)
        self._behind: dict[tuple[int, ...], int] = {}

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens; takes time by their number, not by that of the text."""
        text, behind = self.tokens, self._behind
        for token in tokens:
            end = len(text)
            for size in self._sizes:
                if size <= end:
                    behind[tuple(text[end - size :])] = end
            text.append(token)

    def continuation(self, count: int) -> list[int]:
        """What followed the longest known n-gram at the end of the text, at most `count` tokens.

        Where the occurrence is so recent that the text ends behind it, the draft continues with itself: a repetition continues.
        """
        text = self.tokens
        for size in self._sizes:
            found = self._behind.get(tuple(text[-size:])) if size <= len(text) else None
            if found is not None:
                period = len(text) - found
                return [text[found + step % period] for step in range(count)]
        return []


class LookupDrafter:
    """Drafts from the text itself; costs next to nothing and has nothing to say about what is new.

    Args:
        shortest: least tokens that must agree.
        longest: tokens that are tried to agree first.
    """

    name = "lookup"

    def __init__(self, shortest: int = 2, longest: int = 5) -> None:
        self.calls = 0
        self._shortest, self._longest = shortest, longest
        self._rows: list[NgramIndex] = []
        self._over: list[bool] = []
        self._device = torch.device("cpu")

    def begin(self, prompt: Tensor, real: Tensor | None = None) -> None:
        """Take the prompts without their padding."""
        self.calls = 0
        self._device = prompt.device
        self._rows = [NgramIndex(self._shortest, self._longest) for _ in prompt]
        self._over = [False] * len(prompt)
        for row, index in enumerate(self._rows):
            index.extend((prompt[row] if real is None else prompt[row][real[row]]).tolist())

    def propose(self, gamma: int) -> Proposal:
        """At most `gamma` tokens a row; rows without a match draft none."""
        drafts = [[] if over else index.continuation(gamma) for index, over in zip(self._rows, self._over, strict=True)]
        longest = max(map(len, drafts))
        tokens = torch.tensor([draft + [0] * (longest - len(draft)) for draft in drafts], dtype=torch.int64, device=self._device)
        if all(len(draft) == longest for draft in drafts):
            return Proposal(tokens)
        lengths = torch.tensor([len(draft) for draft in drafts], device=self._device)
        return Proposal(tokens, torch.arange(longest, device=self._device) < lengths[:, None])

    def accept(self, emitted: Sequence[Sequence[int]]) -> None:
        """Append what was added; an empty row is over."""
        for row, new in enumerate(emitted):
            self._rows[row].extend(new)
            self._over[row] = not new

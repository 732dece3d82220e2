"""A small model drafts, token by token, from the same warped distribution that the target is judged by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from core.runtime.decoder import Decoder
from core.runtime.prefill import prefill
from core.runtime.sampling import Sampling, SeenTokens, draw, penalized, warp
from core.speculate.drafters.base import Proposal


class ModelDrafter:
    """Drafts with a decoder of its own, which holds everything that was accepted but for what was accepted last.

    Args:
        decoder: of the draft model.
        sampling: the target's; at temperature 0 the likeliest token is drafted and nothing is drawn.
        vocabulary: tokens of the target; a draft model of another width (padding differs inside a family) is cut or filled up to it.
        generator: source of the draws.
    """

    name = "model"

    def __init__(self, decoder: Decoder, sampling: Sampling, vocabulary: int | None = None, generator: torch.Generator | None = None) -> None:
        self.calls = 0
        self._decoder, self._sampling, self._generator = decoder, sampling, generator
        self._vocabulary = decoder.vocabulary if vocabulary is None else vocabulary
        self._missing = self._vocabulary - decoder.vocabulary
        self._known = min(decoder.vocabulary, self._vocabulary) - 1
        """The last token that the draft model knows; what lies behind it is fed as this one, which costs acceptance and nothing else."""
        self._pending: list[list[int]] = []
        """Of each row, tokens of the text that the decoder has not seen."""
        self._drafted: Tensor | None = None
        self._seen: SeenTokens | None = None

    def begin(self, prompt: Tensor, real: Tensor | None = None) -> None:
        """Take the prompts; prompts that are longer than the draft model's context are never drafted for."""
        self._decoder.reset(len(prompt))
        self._pending, self._drafted = [[] for _ in prompt], None
        self._seen = SeenTokens(prompt, self._vocabulary, self._sampling, real)
        self.calls = 1
        if prompt.shape[1] <= self._decoder.max_tokens:
            prefill(self._decoder, prompt.to(self._decoder.device).clamp(max=self._known), real)

    @torch.inference_mode()
    def propose(self, gamma: int) -> Proposal:
        """Draft `gamma` tokens, or none where they no longer fit the draft model's context."""
        decoder = self._decoder
        step, real = self._unseen()
        if not decoder.length or decoder.length + step.shape[1] + gamma - 1 > decoder.max_tokens:
            return Proposal(torch.empty(len(self._pending), 0, dtype=torch.int64, device=decoder.device))
        self._pending = [[] for _ in self._pending]
        seen = None if self._seen is None or self._seen.mask is None else self._seen.mask.clone()
        tokens: list[Tensor] = []
        laws: list[Tensor] = []
        for _ in range(gamma):
            logits = self._fitted(decoder.forward(step, real=real, last=True)[:, -1])
            if self._sampling.greedy:
                step = penalized(logits, self._sampling, seen).argmax(-1, keepdim=True)
            else:
                laws.append(warp(logits, self._sampling, seen))
                step = draw(laws[-1], self._generator)[:, None].clamp_(max=self._known)
            tokens.append(step)
            if seen is not None:
                seen.scatter_(1, step, True)
            if real is not None:
                real = real[:, -1:]
        self.calls += gamma
        self._drafted = torch.cat(tokens, 1)
        return Proposal(self._drafted, None if real is None else real.expand(-1, gamma), torch.stack(laws, 1) if laws else None)

    def accept(self, emitted: Sequence[Sequence[int]]) -> None:
        """Keep what of the draft the text took over; the last draft was never fed, so a draft accepted whole leaves two tokens to see."""
        rows: list[list[int]] = [[]] * len(emitted) if self._drafted is None else self._drafted[:, :-1].tolist()
        fed = len(rows[0])
        kept = []
        for row, (drafted, new) in enumerate(zip(rows, emitted, strict=True)):
            same = 0
            while same < min(fed, len(new)) and new[same] == drafted[same]:
                same += 1
            kept.append(same)
            self._pending[row].extend(new[same:])
            if new and self._seen is not None and self._seen.mask is not None:
                self._seen.mask[row, list(new)] = True
        if fed:
            self._decoder.keep(kept, fed)
        self._drafted = None

    def _unseen(self) -> tuple[Tensor, Tensor | None]:
        """Tokens [B, m] that the decoder has not seen, rows that have fewer padded on the left, and which of them are real."""
        longest = max(map(len, self._pending))
        rows = [[0] * (longest - len(row)) + row for row in self._pending]
        tokens = torch.tensor(rows, device=self._decoder.device)
        if self._missing > 0:
            tokens.clamp_(max=self._known)
        if all(len(row) == longest for row in self._pending):
            return tokens, None
        lengths = torch.tensor([len(row) for row in self._pending], device=tokens.device)
        return tokens, torch.arange(longest, device=tokens.device) >= longest - lengths[:, None]

    def _fitted(self, logits: Tensor) -> Tensor:
        """Logits over the target's vocabulary."""
        if self._missing == 0:
            return logits
        return functional.pad(logits, (0, self._missing), value=-torch.inf)

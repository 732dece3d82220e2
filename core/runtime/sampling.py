"""From logits to a token: the warped distribution, and an exact draw from it.

The order is transformers': repetition penalty, temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import RequestError

_FEW = 128


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen. The defaults take the likeliest. Raises RequestError: a value outside its range."""

    temperature: float = 0.0
    """0: the likeliest token."""
    top_k: int = 0
    """Only the k likeliest; 0: all."""
    top_p: float = 1.0
    """Only the likeliest whose probabilities first reach p together (nucleus sampling, arXiv 1904.09751)."""
    min_p: float = 0.0
    """Only those at least this share as likely as the likeliest (arXiv 2407.01082)."""
    repetition_penalty: float = 1.0
    """Logits of tokens in the text are divided by it where positive, multiplied where negative (CTRL, arXiv 1909.05858)."""

    def __post_init__(self) -> None:
        for name, within, words in (
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top-k", self.top_k >= 0, "0 or more"),
            ("top-p", 0 < self.top_p <= 1, "more than 0 and at most 1"),
            ("min-p", 0 <= self.min_p < 1, "0 or more and less than 1"),
            ("repetition-penalty", self.repetition_penalty > 0, "more than 0"),
        ):
            if not within:
                raise RequestError(f"{name} = {getattr(self, name.replace('-', '_'))} is invalid: give {words}")

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0

    @property
    def penalizes(self) -> bool:
        """Whether tokens that stand in the text count."""
        return self.repetition_penalty != 1


def penalized(logits: Tensor, sampling: Sampling, seen: Tensor | None) -> Tensor:
    """Logits [..., V] after the repetition penalty; `seen` bool [..., V] marks the tokens in the text."""
    if not sampling.penalizes or seen is None:
        return logits
    penalty = sampling.repetition_penalty
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def warp(logits: Tensor, sampling: Sampling, seen: Tensor | None = None) -> Tensor:
    """The distribution that is sampled from.

    Args:
        logits: [..., V].
        sampling: with temperature 0 the result is one-hot at the likeliest token.
        seen: bool [..., V], tokens in the text, for the repetition penalty.

    Returns:
        Probabilities float64 [..., V] that sum to 1.
    """
    scores = penalized(logits.double(), sampling, seen)
    if sampling.greedy:
        return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)
    scores = scores / sampling.temperature
    if 0 < sampling.top_k < scores.shape[-1]:
        scores = scores.masked_fill(scores < scores.topk(sampling.top_k).values[..., -1:], -torch.inf)
    if sampling.top_p < 1:
        scores = _top_p(scores, sampling.top_p)
    if sampling.min_p > 0:
        probabilities = scores.softmax(-1)
        scores = scores.masked_fill(probabilities < sampling.min_p * probabilities.amax(-1, keepdim=True), -torch.inf)
    return scores.softmax(-1)


def _top_p(scores: Tensor, top_p: float) -> Tensor:
    if scores.is_cuda or scores.shape[-1] <= 4 * _FEW:
        return _top_p_of_all(scores, top_p)
    kept, wide = _top_p_of_few(scores, top_p)
    if bool(wide.any()):
        kept[wide] = _top_p_of_all(scores[wide], top_p)
    return kept


def _top_p_of_all(scores: Tensor, top_p: float) -> Tensor:
    ascending, order = scores.sort(descending=False)
    removed = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
    removed[..., -1] = False
    return scores.masked_fill(torch.zeros_like(removed).scatter_(-1, order, removed), -torch.inf)


def _top_p_of_few(scores: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The same without sorting the vocabulary, which takes most of the time on a CPU; and bool [...], where the likeliest few do not reach p."""
    likeliest, order = scores.topk(_FEW)
    reached = (likeliest - scores.logsumexp(-1, keepdim=True)).exp().cumsum(-1)
    likeliest[..., 1:].masked_fill_(reached[..., :-1] >= top_p, -torch.inf)
    return torch.full_like(scores, -torch.inf).scatter_(-1, order, likeliest), reached[..., -1] < top_p


def draw(probabilities: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A token of each distribution by the inverse of its cumulated sum: int64 [...] from [..., V].

    The draw is made in float64: in float32 a draw can be exactly 0 and find a token of probability 0.
    """
    cumulated = probabilities.double().cumsum(-1)
    shape = (*probabilities.shape[:-1], 1)
    total = cumulated[..., -1:]
    uniform = torch.rand(shape, dtype=torch.float64, generator=generator, device=probabilities.device) * total
    below = torch.nextafter(total, torch.zeros_like(total))
    return torch.searchsorted(cumulated, torch.minimum(uniform, below), right=True)[..., 0]


def choose(logits: Tensor, sampling: Sampling, seen: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """The next token of each row: int64 [...] from logits [..., V]."""
    if sampling.greedy:
        return penalized(logits, sampling, seen).argmax(-1)
    return draw(warp(logits, sampling, seen), generator)


class SeenTokens:
    """Which tokens stand in each row's text, kept up to date in place; nothing at all when there is no penalty.

    Args:
        tokens: int64 [B, n], the prompt.
        vocabulary: V.
        sampling: decides whether anything is kept.
        real: bool [B, n], False for padding.
    """

    def __init__(self, tokens: Tensor, vocabulary: int, sampling: Sampling, real: Tensor | None = None) -> None:
        self.mask: Tensor | None = None
        if sampling.penalizes:
            counts = torch.zeros(len(tokens), vocabulary, dtype=torch.int64, device=tokens.device)
            counts.scatter_add_(1, tokens, torch.ones_like(tokens) if real is None else real.to(tokens.dtype))
            self.mask = counts > 0

    def add(self, tokens: Tensor) -> None:
        """Take in new tokens, int64 [B, n]."""
        if self.mask is not None:
            self.mask.scatter_(1, tokens, True)

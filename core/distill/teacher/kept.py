"""What is kept of a teacher's prediction at a position: its likeliest words and how likely all others are together, or words that were drawn from it.

Likeliest words with a rest in one bucket give a divergence between coarser distributions, never above the whole one. Without the rest the optimum
would be over-confident. Drawn words give an unbiased gradient of the whole divergence (random-sampling distillation, arXiv 2503.16870).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["top", "drawn"]

_LEAST = 1e-9
"""Probability below which a rest counts as none."""


@dataclass(frozen=True)
class Kept:
    """Of n positions."""

    words: Tensor
    """int64 [n, k]; drawn words may repeat."""
    log_probabilities: Tensor
    """float32 [n, k]: of these words, by the teacher."""


def keep(logits: Tensor, kind: Kind, count: int, generator: torch.Generator | None = None) -> Kept:
    """What is kept of predictions.

    Args:
        logits: the teacher's, float32 [n, V].
        kind: likeliest words, or words drawn with replacement.
        count: words of a position, at most V are taken of the likeliest.
        generator: of the draw.
    """
    predictions = logits.log_softmax(-1)
    if kind == "top":
        found = predictions.topk(min(count, predictions.shape[-1]), -1)
        return Kept(found.indices, found.values)
    words = torch.multinomial(predictions.exp(), count, replacement=True, generator=generator)
    return Kept(words, predictions.gather(-1, words))


def divergence(kept: Kept, found: Tensor, kind: Kind) -> Tensor:
    """Of the student from what is kept, [n]: of likeliest words a lower bound of KL(p ‖ q), of drawn words an unbiased estimate of it.

    Args:
        kept: of the teacher.
        found: the student's logits [n, V], float32 or float64.
        kind: of what is kept.
    """
    target = kept.log_probabilities.to(found.dtype)
    ours = found.log_softmax(-1).gather(-1, kept.words)
    if kind == "drawn":
        return (target - ours).mean(-1)
    shares = target.exp()
    of_words = (shares * (target - ours)).sum(-1)
    rest = (1 - shares.sum(-1)).clamp(min=0)
    left = (-torch.expm1(ours.logsumexp(-1))).clamp(min=_LEAST)
    of_rest = torch.where(rest > _LEAST, rest * (rest.clamp(min=_LEAST).log() - left.log()), torch.zeros_like(rest))
    return of_words + of_rest

"""The objective of a student that learns from a teacher's predictions: means over the next tokens that count, in chunks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from core.training.batches import Batch
from core.training.chunked import Head, chunked_logits, chunked_mean
from core.training.mixture import Mixture
from core.training.objective import Loss, Objective


class Predictor(Head, Protocol):
    """A model in two parts: hidden states and head."""

    def hidden(self, tokens: Tensor) -> Tensor:
        """[B, T, H], or logits where the head has no weight, of tokens int64 [B, T]."""


Teach = Callable[[Tensor], Tensor]
"""Hidden states [B, T, H] of a teacher for tokens int64 [B, T], without gradients."""


def next_tokens(batch: Batch) -> Tensor:
    """Which positions have a next token that counts, bool [B, T]; the last of a row has none."""
    counted = torch.ones_like(batch.tokens, dtype=torch.bool) if batch.mask is None else batch.mask.clone()
    counted[:, -1] = False
    return counted


def with_next_tokens(batch: Batch) -> Batch:
    """The batch whose mask is `next_tokens`: what is counted is what is learned from."""
    return Batch(batch.tokens, next_tokens(batch), batch.extras)


def distillation(student: Predictor, teacher: Predictor, mixture: Mixture, vocabulary: int | None = None, teach: Teach | None = None) -> Objective:
    """The mean loss of a batch, of which only positions of `next_tokens` count.

    Args:
        student: learns.
        teacher: has the head that makes logits of what `teach` gives.
        mixture: of divergence and cross entropy.
        vocabulary: words that both know; None: as many as the smaller head has.
        teach: hidden states of the teacher; None: those of `teacher`.
    """

    def objective(batch: Batch) -> Loss:
        counted = next_tokens(batch)
        labels = batch.tokens.roll(-1, 1)[counted]
        target = None
        if mixture.needs_teacher:
            with torch.no_grad():
                target = (teach or teacher.hidden)(batch.tokens)[counted]
        hidden = student.hidden(batch.tokens)[counted]
        words = min(_words(student, hidden), vocabulary or 2**62, *([] if target is None else [_words(teacher, target)]))

        def losses(found: Tensor, part: slice) -> tuple[Tensor, dict[str, Tensor]]:
            logits = None if target is None else chunked_logits(target[part], teacher, words)
            return mixture.losses(logits, found, labels[part])

        return Loss(*chunked_mean(hidden, student, losses, vocabulary=words))

    return objective


def imitation(student: Predictor, teacher: Predictor, teach: Teach | None = None) -> Objective:
    """The mean KL divergence of a student from its teacher and nothing else, for models of one vocabulary; see `distillation`."""
    objective = distillation(student, teacher, Mixture(), teach=teach)
    return lambda batch: Loss(objective(batch).total)


def _words(head: Head, hidden: Tensor) -> int:
    return hidden.shape[-1] if head.weight is None else len(head.weight)

"""Learning from predictions that were kept: the same positions and the same denominator as from a teacher that is there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from core.distill.teacher.cache import TeacherCache
from core.distill.teacher.kept import Kept, Kind, divergence
from core.training.batches import Batch, Batches, window_batches
from core.training.chunked import chunked_mean
from core.training.distillation import Predictor, next_tokens, with_next_tokens
from core.training.objective import Loss, Objective

_WORDS, _SHARES = "words", "log_probabilities"


def kept_distillation(student: Predictor, kind: Kind, alpha: float, vocabulary: int) -> Objective:
    """alpha times the divergence from what is kept, plus (1 - alpha) times cross entropy; of batches of `kept_batches`.

    Args:
        student: learns.
        kind: of what is kept.
        alpha: weight of the divergence, above 0.
        vocabulary: words that teacher and student know.
    """

    def objective(batch: Batch) -> Loss:
        counted = next_tokens(batch)
        labels = batch.tokens.roll(-1, 1)[counted]
        words, shares = (batch.extras[name][counted[:, :-1]] for name in (_WORDS, _SHARES))
        hidden = student.hidden(batch.tokens)[counted]

        def losses(found: Tensor, part: slice) -> tuple[Tensor, dict[str, Tensor]]:
            parts = {"divergence": divergence(Kept(words[part].long(), shares[part].float()), found, kind)}
            total = alpha * parts["divergence"]
            if alpha < 1:
                parts["cross_entropy"] = functional.cross_entropy(found, labels[part], reduction="none")
                total = total + (1 - alpha) * parts["cross_entropy"]
            return total, parts

        return Loss(*chunked_mean(hidden, student, losses, vocabulary=vocabulary))

    return objective


def kept_batches(windows: Tensor, rows: int, seed: int, cache: TeacherCache, mask: Tensor | None = None) -> Batches:
    """The batches of `window_batches` in the same order, with what the teacher said of them.

    Args:
        windows: int64 [N, T], those that were scored.
        rows: windows of a step.
        seed: of the order.
        cache: of the teacher on these windows.
        mask: bool [N, T]: the predictions that count; None: all that have a next token.
    """
    draw = window_batches(torch.arange(len(windows))[:, None], rows, seed)

    def batch(step: int) -> Batch:
        numbers = draw(step).tokens[:, 0]
        words, shares = cache.rows(numbers)
        return with_next_tokens(Batch(windows[numbers], None if mask is None else mask[numbers], {_WORDS: words, _SHARES: shares}))

    return batch

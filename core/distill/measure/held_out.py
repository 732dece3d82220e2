"""The student on held-out text while it trains: divergence, agreement and likelihood, next to its teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.distill.events import HeldOut
from core.distill.measure.gap import gap_closed
from core.distill.measure.places import Tops, places
from core.measure.neighbours import mean_error
from core.models.predictor import Predictor
from core.training.chunked import chunked_logits
from core.training.divergences import forward_kl
from core.training.memory import CHUNK_BYTES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class HeldOutText:
    """Windows that are not trained on, and what the teacher makes of them.

    Args:
        windows: int64 [N, T].
        teacher: gives the target.
        student: is measured.
        vocabulary: words that both know.
        tokenizer: of both.
        counted: bool [N, T], the positions whose predictions count; None: all that have a next token.
    """

    def __init__(
        self,
        windows: Tensor,
        teacher: Predictor,
        student: Predictor,
        vocabulary: int,
        tokenizer: PreTrainedTokenizerBase,
        counted: Tensor | None = None,
    ) -> None:
        self._windows, self._teacher, self._student = windows, teacher, student
        self._vocabulary, self._tokenizer = vocabulary, tokenizer
        self._taught: list[Tensor] = []
        self._counted = torch.ones_like(windows[:, 1:], dtype=torch.bool, device="cpu") if counted is None else counted[:, :-1].cpu()
        self._untrained_nll: Tensor | None = None

    @torch.no_grad()
    def look_at_teacher(self, check_cancelled: Callable[[], None] = lambda: None) -> None:
        """Keep the teacher's hidden states: from here on its head is all that is needed."""
        if not self._taught:
            for window in self._windows:
                check_cancelled()
                self._taught.append(self._teacher.hidden(window[None])[0, :-1])

    def give_up_teacher(self, head: Predictor, check_cancelled: Callable[[], None]) -> None:
        """Hold the teacher no longer; its head alone stays."""
        self.look_at_teacher(check_cancelled)
        self._teacher = head

    @torch.no_grad()
    def measure(self, step: int, *, check_cancelled: Callable[[], None] = lambda: None) -> HeldOut:
        """The student as it is now; the first call is of the untrained one, by which later ones are compared."""
        self.look_at_teacher(check_cancelled)
        kls, agreed, of_teacher, of_student = [], [], [], []
        tops: tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]] = ([], [], [], [])
        for window, target_rows in zip(self._windows, self._taught, strict=True):
            check_cancelled()
            found_rows = self._student.hidden(window[None])[0, :-1]
            chunk = max(CHUNK_BYTES // (4 * self._vocabulary), 1)
            for first in range(0, len(found_rows), chunk):
                part = slice(first, first + chunk)
                target = chunked_logits(target_rows[part], self._teacher, self._vocabulary).log_softmax(-1)
                found = chunked_logits(found_rows[part], self._student, self._vocabulary).log_softmax(-1)
                labels = window[1:][part, None]
                kls.append(forward_kl(target, found).cpu())
                of_teacher.append(-target.gather(-1, labels)[:, 0].cpu())
                of_student.append(-found.gather(-1, labels)[:, 0].cpu())
                (target_top, target_word), (found_top, found_word) = target.max(-1), found.max(-1)
                agreed.append((target_word == found_word).cpu())
                for kept, value in zip(tops, (target_word, target_top.exp(), found_word, found_top.exp()), strict=True):
                    kept.append(value.cpu())
        counted = self._counted.flatten()
        everywhere = torch.cat(kls)
        kl, same = everywhere[counted], torch.cat(agreed).double()[counted]
        nll = torch.cat(of_student).double()[counted]
        teacher_nll = torch.cat(of_teacher).double()[counted]
        if self._untrained_nll is None:
            self._untrained_nll = nll
        gap = gap_closed(teacher_nll, self._untrained_nll, nll)
        target_words, target_shares, found_words, found_shares = (torch.cat(kept) for kept in tops)
        windows = self._windows.cpu()
        by_place = everywhere.where(counted, 0).view(len(windows), -1)
        return HeldOut(
            step=step,
            kl=float(kl.double().mean()),
            kl_se=mean_error(kl.double().numpy()),
            top1=float(same.mean()),
            top1_se=mean_error(same.numpy()),
            nll=float(nll.mean()),
            gap_closed=None if gap is None else gap.closed,
            gap_closed_se=None if gap is None else gap.error,
            places=places(
                windows,
                by_place,
                Tops(target_words, target_shares),
                Tops(found_words, found_shares),
                self._tokenizer,
            ),
        )

    def loss(self, measured: HeldOut, alpha: float) -> float:
        """What decides which step is best: the divergence, or the text's negative log-likelihood where the teacher is not in the loss."""
        return measured.kl if alpha > 0 else measured.nll

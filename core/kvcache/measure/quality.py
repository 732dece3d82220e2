"""Quality through a cache: prompts are read at once, then the text is fed token by token, so that what is attended to is what the scheme kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.errors import RunFailed
from core.evaluate.logits.scores import Rows, kl_divergence, negative_log_likelihood, rows
from core.runtime.decoder import Decoder
from core.runtime.prefill import prefill

OnStep = Callable[[], None]
"""Called after every forward pass; may raise to cancel."""


@dataclass(frozen=True)
class Track:
    """What a cache did at each scored token of some windows.

    nll: float64 [windows, scored] in nats. kl: float64 [windows, scored], divergence from the reference's prediction in nats. same_top: bool
    [windows, scored], whether the likeliest token is the reference's. On the CPU.
    """

    nll: Tensor
    kl: Tensor
    same_top: Tensor

    @classmethod
    def joined(cls, parts: list[Track]) -> Track:
        """Tracks of more windows under each other."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("nll", "kl", "same_top")))


class Reference(Protocol):
    """The reference's predictions for the windows that are just measured."""

    def predictions(self) -> Iterator[Tensor]:
        """Logits [windows, V] for each scored target, in order."""
        ...


@dataclass(frozen=True)
class Kept:
    """Predictions that were kept, float32 [scored, windows, V]."""

    logits: Tensor

    def predictions(self) -> Iterator[Tensor]:
        """One target's after the other."""
        return iter(self.logits)


@dataclass(frozen=True)
class Live:
    """Predictions that are computed again next to each scheme, where keeping them would take too much memory."""

    open: Callable[[], Decoder]
    windows: Tensor
    prompt: int

    def predictions(self) -> Iterator[Tensor]:
        """One target's after the other."""
        return teacher_forced_logits(self.open(), self.windows, self.prompt)


def teacher_forced_logits(decoder: Decoder, windows: Tensor, prompt: int) -> Iterator[Tensor]:
    """Predictions for the tokens of windows behind their prompts, each given the true tokens before it through the cache.

    Args:
        decoder: as many rows as there are windows.
        windows: int64 [B, T], on the decoder's device.
        prompt: tokens that are read at once.

    Yields:
        Logits [B, V] for the targets prompt, prompt + 1, ... T - 1.
    """
    decoder.reset(len(windows))
    yield prefill(decoder, windows[:, :prompt])
    for position in range(prompt, windows.shape[1] - 1):
        yield decoder.forward(windows[:, position : position + 1], last=True)[:, -1]


def keep(decoder: Decoder, windows: Tensor, prompt: int, on_step: OnStep) -> Kept:
    """The predictions of the reference's cache for all scored targets."""
    kept = torch.empty(windows.shape[1] - prompt, len(windows), decoder.vocabulary, device=decoder.device)
    for index, logits in enumerate(teacher_forced_logits(decoder, windows, prompt)):
        kept[index] = logits
        on_step()
    return Kept(kept)


def measure(decoder: Decoder, windows: Tensor, prompt: int, reference: Reference, on_step: Callable[[int, float], None]) -> Track:
    """Compare a cache's predictions with the reference's, target by target.

    Args:
        decoder: with the cache, as many rows as there are windows.
        windows: int64 [B, T], on the decoder's device.
        prompt: tokens that are read at once; the T - prompt others are scored.
        reference: its predictions for the same windows.
        on_step: called after every target with the targets done and the mean negative log-likelihood so far.

    Raises:
        RunFailed: the cache's predictions are not numbers; names the token.
    """
    nll, kl, same = [], [], []
    summed = 0.0
    for index, (logits, expected) in enumerate(zip(teacher_forced_logits(decoder, windows, prompt), reference.predictions(), strict=True)):
        of_scheme, of_reference = rows(logits), rows(expected)
        targets = windows[:, prompt + index]
        nll.append(negative_log_likelihood(of_scheme, targets))
        _check(nll[-1], of_scheme, prompt + index)
        kl.append(kl_divergence(of_reference, of_scheme))
        same.append(of_reference.top == of_scheme.top)
        summed += float(nll[-1].mean())
        on_step(index + 1, summed / (index + 1))
    return Track(*(torch.stack(values, dim=1).cpu() for values in (nll, kl, same)))


def _check(nll: Tensor, found: Rows, position: int) -> None:
    if not bool(nll.isfinite().all()) and bool(found.total.isnan().any()):
        raise RunFailed(f"logits contain NaN or Inf at token {position + 1} of a window: the scheme or the dtype overflows, choose another")

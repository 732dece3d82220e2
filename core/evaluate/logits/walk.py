"""Run models over the same windows in lockstep and keep three numbers a token, never the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from core.errors import RequestError, RunFailed
from core.evaluate.logits.scores import kl_divergence, negative_log_likelihood, rows
from core.evaluate.logits.sources import LogitSource
from core.evaluate.logits.threads import one_thread
from core.evaluate.windows import Windows

OnWindow = Callable[[int, int, float], None]
"""Called after each window with: windows done, windows in all, mean negative log-likelihood of the last model so far, in nats."""

_SLICE_ELEMENTS = 2**20


@dataclass(frozen=True)
class Track:
    """What one model did at each of n scored tokens, in window order.

    nll: float64 [n] in nats. kl: float64 [n], divergence from the first model in nats. same_top: bool [n], whether the most
    likely token is the first model's.
    """

    nll: Tensor
    kl: Tensor
    same_top: Tensor


def walk(models: Sequence[LogitSource], windows: Windows, on_window: OnWindow | None = None) -> list[Track]:
    """Score every target of every window with every model; the first is the reference of the others.

    Raises:
        RequestError: a token is outside a model's vocabulary, or the models' vocabularies differ.
        RunFailed: a model answers NaN.
    """
    parts: list[Tensor] = []
    total, summed, count = len(windows.tokens), 0.0, 0
    for index, logits in enumerate(zip(*(chain.from_iterable(model.logits(windows.tokens)) for model in models), strict=True)):
        with one_thread():
            part = _score(logits, windows.tokens[index], int(windows.first_target[index]))
        if bool(part.isnan().any()):
            raise RunFailed(f"logits contain NaN or Inf in window {index + 1} of {total}: the checkpoint is damaged or overflows its dtype")
        parts.append(part)
        summed, count = summed + float(part[-1, 0].sum()), count + part.shape[-1]
        if on_window is not None:
            on_window(index + 1, total, summed / count)
    return [Track(nll, kl, same_top.bool()) for nll, kl, same_top in torch.cat(parts, dim=-1)]


def _score(logits: Sequence[Tensor], window: Tensor, first_target: int) -> Tensor:
    """Figures of one window: float64 [models, 3, targets] on the CPU, the three of `Track`, from logits [T, V] of each model."""
    _check_vocabulary(logits)
    inputs = [of_model[first_target - 1 : -1] for of_model in logits]
    step = max(_SLICE_ELEMENTS // inputs[0].shape[-1], 1)
    targets = window[first_target:].to(inputs[0].device)
    slices = [slice(begin, begin + step) for begin in range(0, len(targets), step)]
    return torch.cat([_score_slice([of_model[at] for of_model in inputs], targets[at]) for at in slices], dim=-1).cpu()


def _score_slice(logits: Sequence[Tensor], targets: Tensor) -> Tensor:
    reference = rows(logits[0])
    nll = negative_log_likelihood(reference, targets)
    figures = [torch.stack([nll, torch.zeros_like(nll), torch.ones_like(nll)])]
    for of_model in logits[1:]:
        found = rows(of_model.to(targets.device))
        figures.append(torch.stack([negative_log_likelihood(found, targets), kl_divergence(reference, found), (found.top == reference.top).double()]))
    return torch.stack(figures)


def _check_vocabulary(logits: Sequence[Tensor]) -> None:
    size = logits[0].shape[-1]
    for of_model in logits[1:]:
        if of_model.shape[-1] != size:
            raise RequestError(f"the vocabularies differ, {size} tokens and {of_model.shape[-1]}: compare models of the same family")

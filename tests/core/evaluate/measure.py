"""Perplexity and divergence of models over the same windows, in one call."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from core.evaluate.logits.sources import LogitSource, ModelLogits
from core.evaluate.logits.walk import OnWindow, walk
from core.evaluate.result import Divergence, Perplexity
from core.evaluate.summary import divergence_of, perplexity_of
from core.evaluate.windows import windows_of

Model = nn.Module | LogitSource


def block_error(values: Sequence[float]) -> float:
    """Standard error of a mean by the means of all runs of neighbours, at least that of independent values."""
    n, mean = len(values), sum(values) / len(values)
    block = max(min(64, n // 8), 1)
    runs = [sum(values[at : at + block]) / block for at in range(n - block + 1)]
    variance = block * n * sum((run - mean) ** 2 for run in runs) / ((n - block) * (n - block + 1))
    return math.sqrt(max(variance, sum((value - mean) ** 2 for value in values) / (n - 1)) / n)


def perplexity(
    model: Model,
    tokens: Tensor,
    context: int,
    stride: int | None = None,
    *,
    token_bytes: Tensor | None = None,
    on_window: OnWindow | None = None,
    **how: Any,
) -> Perplexity:
    windows = windows_of(tokens, context, stride, **how)
    (track,) = walk([_source(model)], windows, on_window)
    return perplexity_of(track.nll, None if token_bytes is None else int(token_bytes[windows.scored_positions()].sum()))


def divergence(reference: Model, model: Model, tokens: Tensor, context: int, stride: int | None = None, **how: Any) -> Divergence:
    return divergences(reference, {"model": model}, tokens, context, stride, **how)["model"]


def divergences(
    reference: Model,
    models: Mapping[str, Model],
    tokens: Tensor,
    context: int,
    stride: int | None = None,
    *,
    on_window: OnWindow | None = None,
    **how: Any,
) -> dict[str, Divergence]:
    windows = windows_of(tokens, context, stride, **how)
    base, *tracks = walk([_source(reference), *map(_source, models.values())], windows, on_window)
    return {name: divergence_of(base.nll, track.nll, track.kl, track.same_top) for name, track in zip(models, tracks, strict=True)}


def _source(model: Model) -> LogitSource:
    return ModelLogits(model) if isinstance(model, nn.Module) else model

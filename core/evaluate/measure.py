"""Perplexity of a model, and divergence of models from a reference, over the same windows."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from core.evaluate.logits.sources import LogitSource, ModelLogits
from core.evaluate.logits.walk import OnWindow, walk
from core.evaluate.result import Divergence, Perplexity
from core.evaluate.spec import Scoring
from core.evaluate.summary import divergence_of, perplexity_of
from core.evaluate.windows import windows_of


def perplexity(
    model: nn.Module | LogitSource,
    tokens: Tensor,
    context: int,
    stride: int | None = None,
    *,
    scoring: Scoring = "all-targets",
    bos: int | None = None,
    token_bytes: Tensor | None = None,
    on_window: OnWindow | None = None,
) -> Perplexity:
    """Perplexity exp(mean negative log-likelihood) of the scored targets.

    Args:
        model: a causal language model, or a source of its logits.
        tokens: int64 [n] or [1, n].
        context: tokens of a window; with `stride`, `scoring` and `bos` as of `core.evaluate.windows.windows_of`.
        stride: step between overlapping windows.
        scoring: which targets of a window count.
        bos: token that opens every window in place of its first.
        token_bytes: int64 [n], UTF-8 bytes of each token's text, for bits per byte.
        on_window: told after each window.

    Raises:
        RequestError: the text does not fill one window, or a token is outside the model's vocabulary.
        RunFailed: the model answers NaN.
    """
    windows = windows_of(tokens, context, stride, scoring=scoring, bos=bos)
    (track,) = walk([_source(model)], windows, on_window)
    return perplexity_of(track.nll, None if token_bytes is None else int(token_bytes[windows.scored_positions()].sum()))


def divergence(
    reference: nn.Module | LogitSource,
    model: nn.Module | LogitSource,
    tokens: Tensor,
    context: int,
    stride: int | None = None,
    *,
    scoring: Scoring = "all-targets",
    bos: int | None = None,
    on_window: OnWindow | None = None,
) -> Divergence:
    """KL divergence, top-1 agreement and ratio of perplexities of one model to a reference; see `divergences`."""
    found = divergences(reference, {"model": model}, tokens, context, stride, scoring=scoring, bos=bos, on_window=on_window)
    return found["model"]


def divergences(
    reference: nn.Module | LogitSource,
    models: Mapping[str, nn.Module | LogitSource],
    tokens: Tensor,
    context: int,
    stride: int | None = None,
    *,
    scoring: Scoring = "all-targets",
    bos: int | None = None,
    on_window: OnWindow | None = None,
) -> dict[str, Divergence]:
    """How far each model is from the reference. The reference runs once beside them, and no logits are kept.

    Args:
        reference: the model whose predictions are taken for true.
        models: name to model; all must have the reference's vocabulary.
        tokens: int64 [n] or [1, n]; this and all further arguments as of `perplexity`.
        context: tokens of a window.
        stride: step between overlapping windows.
        scoring: which targets of a window count.
        bos: token that opens every window in place of its first.
        on_window: told after each window.

    Raises:
        RequestError: the text does not fill one window, or the vocabularies differ.
        RunFailed: a model answers NaN.
    """
    windows = windows_of(tokens, context, stride, scoring=scoring, bos=bos)
    base, *tracks = walk([_source(reference), *map(_source, models.values())], windows, on_window)
    return {name: divergence_of(base.nll, track.nll, track.kl, track.same_top) for name, track in zip(models, tracks, strict=True)}


def _source(model: nn.Module | LogitSource) -> LogitSource:
    return ModelLogits(model) if isinstance(model, nn.Module) else model

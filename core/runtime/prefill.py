"""Read a prompt in chunks, so that the memory of its activations stays small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.errors import RequestError
from core.runtime.decoder import Decoder

CHUNK = 512


def prefill(
    decoder: Decoder, tokens: Tensor, real: Tensor | None = None, *, chunk: int = CHUNK, on_chunk: Callable[[int], None] | None = None
) -> Tensor:
    """Append a prompt; equal to one forward over it, to rounding.

    Args:
        decoder: of as many rows as the prompt has.
        tokens: int64 [B, n].
        real: bool [B, n], False for padding.
        chunk: tokens of one forward at most; fewer where the cache asks for it.
        on_chunk: called after each forward with how many tokens are done.

    Returns:
        Logits [B, V] of what follows the prompt.

    Raises:
        RequestError: an empty prompt, or one that does not fit.
    """
    check_prompts(tokens, real)
    count = tokens.shape[1]
    chunk = min(chunk, decoder.cache.chunk or chunk)
    logits = torch.empty(0)
    for first in range(0, count, chunk):
        part = slice(first, first + chunk)
        logits = decoder.forward(tokens[:, part], real=None if real is None else real[:, part], last=True)
        if on_chunk is not None:
            on_chunk(min(first + chunk, count))
    decoder.cache.prefilled()
    return logits[:, -1]


def check_prompts(tokens: Tensor, real: Tensor | None = None) -> None:
    """Raises RequestError when a prompt, of tokens [B, n] with padding where `real` is False, is empty."""
    if not tokens.numel():
        raise RequestError("the prompt is empty: give at least one token")
    if real is not None and not bool(real.any(1).all()):
        raise RequestError("a prompt of the batch is empty: give at least one token for each")

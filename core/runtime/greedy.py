"""Greedy decoding of one sequence, token by token."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from core.errors import RequestError
from core.runtime.fused import FusedDecoder


def greedy(decoder: FusedDecoder, prompt: Tensor, tokens: int, stop: Collection[int] = ()) -> Iterator[int]:
    """The likeliest token again and again, each yielded as soon as it is known.

    Args:
        decoder: reset first, so that it may be used again.
        prompt: int64 [n].
        tokens: at most so many are generated.
        stop: tokens that end the text; they are yielded too.

    Raises:
        RequestError: an empty prompt, or prompt and answer do not fit the cache.
    """
    if not len(prompt):
        raise RequestError("the prompt is empty: give at least one token")
    if len(prompt) + tokens > decoder.max_tokens + 1:
        raise RequestError(f"a prompt of {len(prompt)} and {tokens} new tokens do not fit the cache of {decoder.max_tokens}: ask for a longer one")
    decoder.reset()
    step = torch.empty(1, dtype=torch.int64, device=prompt.device)
    logits = decoder.forward(prompt)
    for count in range(tokens):
        token = int(logits.argmax())
        yield token
        if token in stop or count + 1 == tokens:
            return
        logits = decoder.forward(step.fill_(token))

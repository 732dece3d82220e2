"""Decoding: prompt in, tokens out, one at a time.

The loop allocates nothing that grows with the text: tokens and logits live in the decoder's buffers, and a token leaves the device once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from core.errors import RequestError, RunFailed
from core.runtime.cache import KvCache
from core.runtime.decoder import Decoder
from core.runtime.opening import open_decoder
from core.runtime.prefill import check_prompts, prefill
from core.runtime.sampling import Sampling, SeenTokens, choose
from core.runtime.stopping import TextStream

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Finish = Literal["length", "stop-token", "stop-string"]


@dataclass
class Generated:
    """The continuation of each row of a batch."""

    tokens: list[list[int]]
    """A stop token is part of it."""
    finish: list[Finish]
    texts: list[str] = field(default_factory=list)
    """With a tokenizer: the text of each row, without a stop string and what follows it."""


@dataclass(frozen=True)
class Step:
    """What one step of the loop adds."""

    tokens: list[int | None]
    """Of each row; None for a row that is over."""
    texts: list[str]
    """With a tokenizer: the text that became certain; "" otherwise."""
    over: list[Finish | None]


def generate(
    model: nn.Module | Decoder,
    tokens: Tensor,
    *,
    cache: KvCache | None = None,
    sampling: Sampling | None = None,
    max_new_tokens: int = 256,
    stop_tokens: Collection[int] = (),
    stop_strings: Sequence[str] = (),
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
    real: Tensor | None = None,
) -> Generated:
    """Continue prompts; all arguments and errors as of `stream`."""
    steps = stream(
        model,
        tokens,
        cache=cache,
        sampling=sampling,
        max_new_tokens=max_new_tokens,
        stop_tokens=stop_tokens,
        stop_strings=stop_strings,
        tokenizer=tokenizer,
        seed=seed,
        real=real,
    )
    rows = 1 if tokens.dim() == 1 else len(tokens)
    result = Generated([[] for _ in range(rows)], ["length"] * rows, [""] * rows if tokenizer is not None else [])
    for step in steps:
        for row, token in enumerate(step.tokens):
            if token is not None:
                result.tokens[row].append(token)
            if (over := step.over[row]) is not None:
                result.finish[row] = over
            if tokenizer is not None:
                result.texts[row] += step.texts[row]
    return result


def stream(
    model: nn.Module | Decoder,
    tokens: Tensor,
    *,
    cache: KvCache | None = None,
    sampling: Sampling | None = None,
    max_new_tokens: int = 256,
    stop_tokens: Collection[int] = (),
    stop_strings: Sequence[str] = (),
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
    real: Tensor | None = None,
) -> Iterator[Step]:
    """Continue prompts, a step at a time.

    Args:
        model: a transformers causal LM, or a decoder, which is reset.
        tokens: int64 [n] or [B, n].
        cache: a scheme for the model's keys and values; default: static buffers.
        sampling: default: the likeliest token.
        max_new_tokens: of each row.
        stop_tokens: end a row.
        stop_strings: end a row too; they need the tokenizer.
        tokenizer: gives the text as it becomes certain.
        seed: the same seed, prompts and sampling give the same tokens.
        real: bool [B, n], False for the padding of shorter prompts, as transformers' attention mask (on the left).

    Raises:
        RequestError: an empty prompt, prompt and answer that do not fit, stop strings without a tokenizer.
        RunFailed: the model answers with NaN; the step is named.
    """
    prompts = tokens[None] if tokens.dim() == 1 else tokens
    chosen = sampling or Sampling()
    if stop_strings and tokenizer is None:
        raise RequestError("stop strings need a tokenizer: give one")
    if max_new_tokens < 1:
        raise RequestError(f"max-new-tokens = {max_new_tokens} is invalid: request at least one")
    check_prompts(prompts, real)
    needed = prompts.shape[1] + max_new_tokens - 1
    decoder = open_decoder(model, needed, cache=cache, batch=len(prompts)) if isinstance(model, nn.Module) else model
    decoder.reset(len(prompts))
    if needed > decoder.max_tokens:
        raise RequestError(
            f"a prompt of {prompts.shape[1]} and {max_new_tokens} new tokens do not fit the cache of {decoder.max_tokens}: request a longer one"
        )
    texts = [TextStream(tokenizer, stop_strings) for _ in prompts] if tokenizer is not None else []
    return _steps(decoder, prompts.to(decoder.device), chosen, max_new_tokens, frozenset(stop_tokens), texts, seed, real)


def _steps(
    decoder: Decoder, prompts: Tensor, sampling: Sampling, limit: int, stops: frozenset[int], texts: list[TextStream], seed: int, real: Tensor | None
) -> Iterator[Step]:
    generator = None if sampling.greedy else torch.Generator(decoder.device).manual_seed(seed)
    seen = SeenTokens(prompts, decoder.vocabulary, sampling, real)
    logits = prefill(decoder, prompts, real)
    over: list[Finish | None] = [None] * len(prompts)
    for count in range(1, limit + 1):
        check_finite(logits, count)
        chosen = choose(logits, sampling, seen.mask, generator)
        seen.add(chosen[:, None])
        going = [finish is None for finish in over]
        new: list[int | None] = [token if on else None for token, on in zip(chosen.tolist(), going, strict=True)]
        told = [""] * len(new)
        for row, token in enumerate(new):
            if token is None:
                continue
            told[row], over[row] = _take(texts[row] if texts else None, token, stops, last=count == limit)
        yield Step(new, told, [finish if on else None for finish, on in zip(over, going, strict=True)])
        if all(over):
            return
        logits = decoder.forward(chosen[:, None], last=True)[:, -1]


def _take(text: TextStream | None, token: int, stops: frozenset[int], *, last: bool) -> tuple[str, Finish | None]:
    """What a token adds to the text, and whether it ends the row."""
    told = "" if text is None or token in stops else text.add(token)
    finish: Finish | None = None
    if text is not None and text.stopped:
        finish = "stop-string"
    elif token in stops:
        finish = "stop-token"
    elif last:
        finish = "length"
    if finish is not None and text is not None:
        told += text.finish()
        finish = "stop-string" if text.stopped else finish
    return told, finish


def check_finite(logits: Tensor, step: int) -> None:
    """Raises RunFailed naming the step when logits [B, V] hold NaN or +Inf; -Inf forbids a token and is let through."""
    if not all(map(isfinite, logits.amax(-1).tolist())):
        raise RunFailed(f"logits contain NaN or Inf at step {step}: the checkpoint is damaged or overflows its dtype")


def eos_tokens(model: Any) -> tuple[int, ...]:
    """Tokens that end a text, by the model's generation config, else its config."""
    stated = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if stated is None:
        stated = getattr(model.config.get_text_config(decoder=True), "eos_token_id", None)
    if stated is None:
        return ()
    return tuple(stated) if isinstance(stated, list | tuple) else (int(stated),)

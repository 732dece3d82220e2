"""Time to the first token and time per token of a cache, in turns with the full one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from core.runtime.decoder import Decoder
from core.runtime.prefill import prefill

WARM = 4
"""Steps that are taken before the clock counts."""


@dataclass
class Times:
    """Seconds: of each prompt with the first new token, and of each single-token step."""

    first: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    @property
    def ttft_ms(self) -> float:
        """Median."""
        return 1000 * median(self.first)

    @property
    def tpot_ms(self) -> float:
        """Median."""
        return 1000 * median(self.steps)


def in_turns(decoders: list[Decoder], tokens: Tensor, prompt: int, repeats: int, on_step: Callable[[], None]) -> list[Times]:
    """Time decoders on the same tokens, one repeat of each after the other.

    Args:
        decoders: each with its own cache.
        tokens: int64 [1, prompt + steps]; the prompt is read at once, the others one by one, whatever is predicted, so that all decoders do
            the same work.
        prompt: tokens of the prompt.
        repeats: of each decoder.
        on_step: called between steps, off the clock.

    Returns:
        The times of each decoder, a step without the warm-up: the first repeat is preceded by a few steps that do not count.
    """
    found = [Times() for _ in decoders]
    for decoder in decoders:
        _once(decoder, tokens[:, : prompt + WARM], prompt, Times(), on_step)
    for _ in range(repeats):
        for decoder, times in zip(decoders, found, strict=True):
            _once(decoder, tokens, prompt, times, on_step)
    return found


def _once(decoder: Decoder, tokens: Tensor, prompt: int, times: Times, on_step: Callable[[], None]) -> None:
    decoder.reset(1)
    began = _clock(decoder)
    int(prefill(decoder, tokens[:, :prompt]).argmax())
    times.first.append(_clock(decoder) - began)
    for position in range(prompt, tokens.shape[1]):
        on_step()
        began = _clock(decoder)
        int(decoder.forward(tokens[:, position : position + 1], last=True)[:, -1].argmax())
        times.steps.append(_clock(decoder) - began)


def _clock(decoder: Decoder) -> float:
    if decoder.device.type == "cuda":
        torch.cuda.synchronize(decoder.device)
    return time.perf_counter()

"""How fast original and result are on this machine: both in memory, run in turns."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.models.card import ModelCard
from core.models.load import load_model
from core.runtime.decoder import Decoder
from core.runtime.opening import open_decoder
from core.runtime.prefill import prefill
from core.runtime.threads import usual_threads

_PAIRS = 7
_PREFILLS = 3


@dataclass(frozen=True)
class Speed:
    """Medians over pairs; a ratio above 1 means that the result is faster."""

    tokens_per_second_before: float
    tokens_per_second_after: float
    decode_speedup: float
    decode_speedup_se: float
    prefill_seconds_before: float
    prefill_seconds_after: float
    prefill_speedup: float
    prefill_speedup_se: float
    prompt: int
    """Tokens of the prompt."""


def measure_speed(
    before: Path, after: Path, card: ModelCard, prompt: Tensor, tokens: int, dtype: torch.dtype, device: str, say: Callable[[str], None]
) -> Speed:
    """Prefill a prompt and decode greedily, original and result in turns, each with its own fastest decoder.

    Args:
        before: folder of the original.
        after: folder of the result.
        card: of the original; decides the threads.
        prompt: int64 [n].
        tokens: to decode.
        dtype: of both.
        device: of both.
        say: what is being done; may raise to cancel.
    """
    prompts = prompt[None].to(device)
    slots = prompts.shape[1] + tokens
    threads = torch.get_num_threads()
    torch.set_num_threads(usual_threads(card, device))
    try:
        decoders = [open_decoder(load_model(folder, dtype, device), slots) for folder in (before, after)]
        for decoder in decoders:
            _timed(decoder, prompts, min(tokens, 8))
        pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
        for number in range(_PAIRS):
            say(f"measuring the speed: pair {number + 1} of {_PAIRS}")
            order = (0, 1) if number % 2 == 0 else (1, 0)
            found = {which: _timed(decoders[which], prompts, tokens) for which in order}
            pairs.append((found[0], found[1]))
    finally:
        torch.set_num_threads(threads)
    decodes, prefill_ratios = ([first[which] / second[which] for first, second in pairs] for which in (1, 0))
    decode = [statistics.median(pair[which][1] for pair in pairs) for which in (0, 1)]
    prefills = [statistics.median(pair[which][0] for pair in pairs) for which in (0, 1)]
    return Speed(
        tokens_per_second_before=tokens / decode[0],
        tokens_per_second_after=tokens / decode[1],
        decode_speedup=statistics.median(decodes),
        decode_speedup_se=_standard_error(decodes),
        prefill_seconds_before=prefills[0],
        prefill_seconds_after=prefills[1],
        prefill_speedup=statistics.median(prefill_ratios),
        prefill_speedup_se=_standard_error(prefill_ratios),
        prompt=prompts.shape[1],
    )


def _standard_error(ratios: list[float]) -> float:
    """Of a mean; that of a median of so few differs little."""
    return statistics.stdev(ratios) / math.sqrt(len(ratios))


@torch.no_grad()
def _timed(decoder: Decoder, prompts: Tensor, tokens: int) -> tuple[float, float]:
    """Seconds of the fastest of a few prefills, and of decoding so many tokens after the last."""
    fastest = float("inf")
    for _ in range(_PREFILLS):
        decoder.reset(1)
        began = _now(decoder)
        logits = prefill(decoder, prompts)
        prefilled = _now(decoder)
        fastest = min(fastest, prefilled - began)
    for _ in range(tokens):
        logits = decoder.forward(logits.argmax(-1)[:, None], last=True)[:, -1]
    return fastest, _now(decoder) - prefilled


def _now(decoder: Decoder) -> float:
    if decoder.device.type == "cuda":
        torch.cuda.synchronize(decoder.device)
    return time.perf_counter()

"""What heads are trained on: the target's hidden states over the built-in text, and over what the target itself says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.errors import RunFailed
from core.runtime.decoder import Decoder
from core.runtime.generate import stream
from core.runtime.sampling import Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel

OnProgress = Callable[[int, int, str], None]

PROMPT, LONGEST, SHORTEST = 64, 96, 32
"""Tokens of text that the target continues from, and of what it says at most and at least: longer, a small model begins to repeat itself."""
TEMPERATURES = (0.0, 0.8)
_UNITS = 1000
_CACHE_BYTES = 256 << 20
_MOST_ROWS = 32


@dataclass(frozen=True)
class States:
    """Hidden states [M, H] in bfloat16, tokens int64 [M], labels int64 [M] (the target's likeliest next tokens), and the places int64 [K] among them
    that have a label for every head.
    """

    hidden: Tensor
    tokens: Tensor
    labels: Tensor
    places: Tensor

    @classmethod
    def join(cls, parts: Sequence[States]) -> States:
        """One behind the other."""
        before = torch.tensor([0, *(len(part.tokens) for part in parts)]).cumsum(0)
        places = torch.cat([part.places + first for part, first in zip(parts, before, strict=False)])
        hidden, tokens, labels = (torch.cat([getattr(part, name) for part in parts]) for name in ("hidden", "tokens", "labels"))
        return cls(hidden, tokens, labels, places)


@dataclass(frozen=True)
class Seen:
    """The target's pass over windows: hidden [N, T, H], tokens int64 [N, T], labels int64 [N, T]."""

    hidden: Tensor
    tokens: Tensor
    labels: Tensor

    def states(self, heads: int, behind: int = 0) -> States:
        """Flat, with the places from token `behind` of each window on."""
        windows, length = self.tokens.shape
        places = (torch.arange(windows)[:, None] * length + torch.arange(behind, max(length - heads - 1, behind))).flatten()
        return States(self.hidden.flatten(0, 1), self.tokens.flatten(), self.labels.flatten(), places)

    def split(self, last: int) -> tuple[Seen, Seen]:
        """All windows but the last ones, and these."""
        at = len(self.tokens) - last
        first, second = slice(None, at), slice(at, None)
        return tuple(Seen(self.hidden[part], self.tokens[part], self.labels[part]) for part in (first, second))  # type: ignore[return-value]


class Clock:
    """What part of the time is over, reported as progress."""

    def __init__(self, began: float, seconds: float, on_progress: OnProgress) -> None:
        self._began, self.seconds, self._on_progress = began, seconds, on_progress

    @property
    def spent(self) -> float:
        """Share of the time, 0 to 1 and beyond."""
        return (time.monotonic() - self._began) / self.seconds

    def report(self, share: float, label: str) -> None:
        """Say how much is done, 0 to 1, and what comes."""
        self._on_progress(min(int(_UNITS * share), _UNITS - 1), _UNITS, label)

    def end(self) -> None:
        """All is done."""
        self._on_progress(_UNITS, _UNITS, "")


@torch.inference_mode()
def collect(model: PreTrainedModel, windows: Tensor, clock: Clock, until: float, rows: int = 8) -> Seen:
    """The target's hidden states over windows int64 [N, T], as many as there is time for until that share of it is over, at least some.

    Raises:
        RunFailed: they are not numbers.
    """
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    taken: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, inputs: taken.append(inputs[0]))
    hidden, labels = [], []
    began = min(clock.spent, until)
    try:
        for first in range(0, len(windows), rows):
            clock.report(began + (until - began) * first / len(windows), "compute the target's hidden states")
            with _fast(model):
                logits = model(input_ids=windows[first : first + rows].to(model.device), use_cache=False).logits
            labels.append(logits.argmax(-1).cpu())
            hidden.append(taken.pop().to(torch.bfloat16))
            if clock.spent > until:
                break
    finally:
        hook.remove()
    states = torch.cat(hidden)
    if not bool(states.isfinite().all()):
        raise RunFailed("the target's hidden states contain NaN or Inf: the checkpoint is damaged or overflows its dtype")
    # Tensors of inference mode cannot be trained on.
    return Seen(states.clone(), windows[: len(states)].clone(), torch.cat(labels).clone())


def said(decoder: Decoder, windows: Tensor, clock: Clock, until: float, seed: int) -> Tensor:
    """Windows that the target has written itself, int64 [N, T]: it continues from the beginnings of windows of text, greedily and sampled in turns.

    Heads then meet what they will be asked for: the target's own words, behind its own words (Medusa, section 2.3.2, calls it self-distillation).

    Args:
        decoder: of the target; is reset.
        windows: int64 [N, T] of text.
        clock: of the training.
        until: share of its time that may be over afterwards; N is 0 where that is not enough for any.
        seed: of the sampling.
    """
    length = min(LONGEST, decoder.max_tokens + 1 - PROMPT)
    written: list[Tensor] = []
    if windows.shape[1] < PROMPT or length < SHORTEST:
        return windows[:0]
    rows = _rows(decoder)
    began = clock.spent
    for number, prompts in enumerate(windows[:, :PROMPT].split(rows)):  # type: ignore[no-untyped-call]
        sampling = Sampling(TEMPERATURES[number % len(TEMPERATURES)])
        steps = []
        for step in stream(decoder, prompts, sampling=sampling, max_new_tokens=length, seed=seed + number):
            clock.report(clock.spent, "generate text with the target")
            steps.append(torch.tensor(step.tokens))
            if clock.spent > until:
                break
        if len(steps) < length:
            break
        written.append(torch.cat((prompts, torch.stack(steps, 1)), 1))
        if clock.spent + (clock.spent - began) / (number + 1) > until:
            break
    decoder.reset(1)
    return torch.cat(written) if written else windows[:0]


def _rows(decoder: Decoder) -> int:
    """Texts that are written at once: as many as a modest cache holds."""
    decoder.reset(1)
    decoder.forward(torch.zeros(1, 1, dtype=torch.int64, device=decoder.device), last=True)
    held = decoder.cache.nbytes
    decoder.reset(1)
    return int(max(min(_CACHE_BYTES // max(held, 1), _MOST_ROWS), 1))


def _fast(model: PreTrainedModel) -> torch.autocast:
    """bfloat16 products on a CPU: twice the speed where it has them, and labels need no more."""
    return torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.device.type == "cpu")

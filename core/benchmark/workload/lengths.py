"""How long prompts were meant to be, and how long the server says they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.benchmark.client.outcome import Outcome
from core.benchmark.workload.prompts import CHARACTERS_A_TOKEN, Prompt

_TEMPLATE = 64
"""Tokens that a chat template may put around a prompt."""
_OFF = 1.25


def of_lengths(prompts: Sequence[Prompt], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A sentence where the server's count of prompt tokens is not what was meant: an estimate, or a tokenizer that is not the model's."""
    pairs = [
        (meant(prompts[outcome.index]), outcome.usage.prompt)
        for outcome in outcomes
        if outcome.status == "done" and outcome.index < len(prompts) and outcome.usage.prompt is not None
    ]
    if not pairs:
        return
    wanted, counted = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
    if counted > _OFF * wanted + _TEMPLATE or counted * _OFF < wanted:
        yield f"the server counted {counted:.3g} tokens per prompt on average instead of {wanted:.3g}: lengths are not as requested"


def meant(prompt: Prompt) -> float:
    """Tokens of a prompt, as far as they are known here."""
    return len(prompt.text) / CHARACTERS_A_TOKEN if prompt.input_tokens is None else float(prompt.input_tokens)

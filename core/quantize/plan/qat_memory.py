"""What quantization-aware training holds in memory."""

from __future__ import annotations

TOKENS_AT_ONCE = 2048
"""Tokens of a training step."""
LOGITS_AT_ONCE = 2**26
"""Logits of a training step at most, unless one window has more."""

_TRAINED = 4 + 4 + 8 + 4 + 2
"""Bytes of a trained weight: itself, gradient, Adam's two moments, what it is rounded to, the original."""
_ACTIVATIONS = 40
"""Values a token and block keeps for the backward pass, in units of the hidden size."""
_LOGIT_COPIES = 5


def rows_at_once(length: int, vocabulary: int) -> int:
    """Windows of a step: as many as fill a step's tokens, fewer where their logits would be large."""
    return max(min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // vocabulary) // length, 1)


def training_bytes(trained: int, other: int, hidden: int, blocks: int, vocabulary: int, tokens: int) -> int:
    """Bytes that the training holds at its peak.

    Args:
        trained: weights of the linears in decoder blocks.
        other: all other parameters.
        hidden: hidden size.
        blocks: decoder blocks.
        vocabulary: words.
        tokens: of one step.
    """
    activations = tokens * hidden * blocks * _ACTIVATIONS * 4
    return trained * _TRAINED + other * 4 + activations + tokens * vocabulary * _LOGIT_COPIES * 4

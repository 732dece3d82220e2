"""How much of the text a training step takes at once, and what training holds in memory."""

from __future__ import annotations

TOKENS_AT_ONCE = 2048
"""Tokens of a training step."""
LOGITS_AT_ONCE = 2**26
"""Logits of a training step at most, unless one window has more."""
CHUNK_BYTES = 48 * 2**20
"""Of the logits that exist at once in float32, where a loss is computed in chunks of rows."""

TRAINED_BYTES = 4 + 4 + 8
"""Of a trained weight in float32: itself, its gradient, Adam's two moments."""
_ACTIVATIONS = 40
"""Values that each token and block keeps for the backward pass, in units of the hidden size."""
_LOGIT_COPIES = 5


def rows_at_once(length: int, vocabulary: int) -> int:
    """Windows of a step: as many as fill a step's tokens, fewer where their logits would be large."""
    return max(min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // vocabulary) // length, 1)


def training_bytes(trained: int, other: int, hidden: int, blocks: int, vocabulary: int, tokens: int, *, extra: int = 0) -> int:
    """Bytes that training in float32 holds at its peak.

    Args:
        trained: weights that are trained.
        other: all other parameters.
        hidden: hidden size.
        blocks: decoder blocks.
        vocabulary: words.
        tokens: of one step.
        extra: further bytes that the method holds per trained weight.
    """
    activations = activation_bytes(tokens, hidden, blocks)
    return trained * (TRAINED_BYTES + extra) + other * 4 + activations + tokens * vocabulary * _LOGIT_COPIES * 4


def activation_bytes(tokens: int, hidden: int, blocks: int, *, recompute: bool = False) -> int:
    """Bytes of what the forward pass keeps for the backward pass in float32; with `recompute`, inputs of blocks and all of one block."""
    kept = blocks + _ACTIVATIONS if recompute else blocks * _ACTIVATIONS
    return tokens * hidden * kept * 4

"""Examples in a word."""

from __future__ import annotations

from core.distill.data.conversation import Message
from core.distill.data.filters.example import Example


def example(answer: str, prompt: str = "Explain.", finish: str = "stop") -> Example:
    return Example((Message("user", prompt),), answer, finish)

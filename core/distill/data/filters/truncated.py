"""Answers that were cut off at their maximum length."""

from __future__ import annotations

from core.distill.data.filters.example import Example

_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "limit"})


def is_whole(example: Example) -> bool:
    """Whether the server did not report that the answer was cut off; one that gives no reason counts as whole."""
    return example.finish.lower() not in _CUT

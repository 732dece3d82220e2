"""Answers without a text."""

from __future__ import annotations

from core.distill.data.filters.example import Example


def has_text(example: Example) -> bool:
    """Whether anything but thinking and white space was said."""
    return bool(example.said)

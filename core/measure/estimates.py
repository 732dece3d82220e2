"""Parts of an estimate of memory, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitLine:
    """One part of an estimate of memory."""

    label: str
    bytes: int
    how: str
    """The formula in words."""


def gib(count: int) -> str:
    """Bytes as `1.5 GiB`."""
    return f"{count / 2**30:.1f} GiB"

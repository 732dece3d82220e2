"""How long an axis is after pruning, and what that length rules out."""

from __future__ import annotations

from math import floor

_FORMATS = ((256, "K-quants (rows that are multiples of 256)"), (128, "quantization in groups of 128"), (32, "2:4 kernels (multiples of 32)"))


def removed_of(size: int, share: float, remove: int | None) -> int:
    """How many of `size` go: as many as asked for, or at most this share."""
    return remove if remove is not None else floor(size * share + 1e-9)


def kept_of(size: int, share: float, remove: int | None, multiple: int = 1) -> int:
    """How many of `size` stay: those that are left, rounded up to a multiple, or no multiple above `size`."""
    left = size - removed_of(size, share, remove)
    return min(-(-left // multiple) * multiple, size)


def lost_sizes(before: int, after: int) -> tuple[str, ...]:
    """What rows of the new length can no longer be stored as or multiplied by, though the old length could."""
    return tuple(what for multiple, what in _FORMATS if before % multiple == 0 and after % multiple)

"""How many words packed integers take."""

from __future__ import annotations


def packed_words(count: int, bits: int) -> int:
    """32-bit words that `count` values of `bits` bits occupy."""
    return -(-count * bits // 32)

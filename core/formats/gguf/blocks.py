"""The block types of ggml that this project writes, predicts or names."""

from __future__ import annotations

from typing import Literal

Level = Literal[
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "IQ4_NL", "IQ4_XS"
]

BLOCKS: dict[str, tuple[int, int]] = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q8_0": (32, 34),
    "Q6_K": (256, 210),
    "Q5_K": (256, 176),
    "Q5_1": (32, 24),
    "Q5_0": (32, 22),
    "Q4_K": (256, 144),
    "Q4_0": (32, 18),
    "Q3_K": (256, 110),
    "Q2_K": (256, 84),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
}
"""(values, bytes with the scales) of a block."""
BLOCK_BITS = {name: 8 * size / values for name, (values, size) in BLOCKS.items()}
"""Bits of a value with its share of the scales."""

WRITTEN_HERE = ("F32", "F16", "BF16", "Q8_0")
"""Levels that need no llama.cpp."""

FILE_TYPES: dict[str, int] = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q8_0": 7,
    "Q2_K": 10,
    "Q3_K_S": 11,
    "Q3_K_M": 12,
    "Q3_K_L": 13,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "IQ4_NL": 25,
    "IQ4_XS": 30,
    "BF16": 32,
}
"""Numbers of llama.cpp's file types (`llama_ftype`)."""


def row_bytes(block: str, columns: int) -> int:
    """Bytes of a row of `columns` values, which must fill whole blocks."""
    values, size = BLOCKS[block]
    return columns // values * size

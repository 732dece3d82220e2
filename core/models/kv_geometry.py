"""The shape of a model's KV cache, all that the bytes of a scheme depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from core.models.card import ModelCard


@dataclass(frozen=True, slots=True)
class Geometry:
    """Counts of one model. Decoder blocks that keep no keys and values of their own are left out."""

    layers: int
    """Decoder blocks that keep keys and values, sliding ones among them."""
    sliding_layers: int
    """Of them, blocks whose attention never looks back further than `window` tokens."""
    window: int | None
    heads: int
    """Query heads."""
    kv_heads: int
    head_dim: int
    value_bytes: int
    """Of one key or value in the model's own arithmetic: 4 for float32, 2 for float16 and bfloat16."""

    @classmethod
    def of(cls, card: ModelCard, value_bytes: int) -> Self:
        """The geometry of a model whose arithmetic takes `value_bytes` a value."""
        return cls(
            layers=sum(blocks.count for blocks in card.cached),
            sliding_layers=sum(blocks.count for blocks in card.cached if blocks.window is not None),
            window=card.sliding_window,
            heads=card.heads,
            kv_heads=card.kv_heads,
            head_dim=card.head_dim,
            value_bytes=value_bytes,
        )

    @property
    def values_per_token(self) -> int:
        """Keys and values of one token in one block."""
        return 2 * self.kv_heads * self.head_dim

    @property
    def row_bytes(self) -> int:
        """Bytes of the keys, or of the values, of one token in one block, unquantized."""
        return self.kv_heads * self.head_dim * self.value_bytes

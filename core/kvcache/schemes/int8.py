"""8-bit integers: symmetric, a float16 scale per group of channels of a token's head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from core.kvcache.catalog.sizes import span
from core.kvcache.schemes.per_token import PerTokenLayer
from core.kvcache.storage.affine import by_channels, quantize_symmetric
from core.kvcache.storage.build import LayerContext


class Int8Layer(PerTokenLayer):
    """Codes int8 [2, B, kv heads, t, d], scales float16 [2, B, kv heads, t, groups]."""

    def __init__(self, context: LayerContext) -> None:
        super().__init__(context)
        self._span = span(context.geometry.head_dim, context.settings.group)

    def encode(self, states: Tensor) -> Sequence[Tensor]:
        """Codes and scales of each group."""
        codes, scales = quantize_symmetric(by_channels(states, self._span), 8)
        return codes.flatten(-2), scales.squeeze(-1)

    def decode(self, parts: Sequence[Tensor], out: Tensor) -> None:
        """Codes times scales."""
        codes, scales = parts
        by_channels(out.copy_(codes), self._span).mul_(scales.unsqueeze(-1))

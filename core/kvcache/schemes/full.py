"""The two caches that keep every key and value as computed."""

from __future__ import annotations

from core.kvcache.storage.build import LayerContext
from core.runtime.caches.dynamic import DynamicKvLayer
from core.runtime.caches.static import StaticKvLayer


class DynamicScheme(DynamicKvLayer):
    """Grows with the text."""

    def __init__(self, context: LayerContext) -> None:
        del context
        super().__init__()


class StaticScheme(StaticKvLayer):
    """A buffer for `context.max_tokens` tokens."""

    def __init__(self, context: LayerContext) -> None:
        super().__init__(context.max_tokens)

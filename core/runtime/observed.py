"""An attention for transformers' models that shows the queries to the cache: evicting schemes decide by them what to keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.runtime.cache import KvCache
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NAME = "llmopt_observed"
_CACHE: ContextVar[KvCache | None] = ContextVar("cache", default=None)


@contextmanager
def observed(model: PreTrainedModel, cache: KvCache) -> Iterator[None]:
    """Within, each attention of the model shows its queries to the cache's layer. Nothing changes for a cache that does not look.

    Raises:
        RequestError: the cache wants to see the queries, and the family computes its attention where they cannot be seen.
    """
    if not cache.observes:
        yield
        return
    config: Any = model.config.get_text_config(decoder=True)
    if not getattr(model, "_supports_attention_backend", False):
        family = clean(str(config.model_type), limit=40)
        raise RequestError(f"the scheme selects tokens by the queries, which the attention of {family} does not expose: use another scheme")
    _register()
    before, token = config._attn_implementation, _CACHE.set(cache)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _CACHE.reset(token)


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, eager_mask)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """Plain attention, soft-capped where the family asks for it; query [B, heads, n, d] to [B, n, heads, d]."""
    scaling = kwargs.get("scaling")
    scale = float(scaling) if scaling is not None else query.shape[-1] ** -0.5
    groups = query.shape[1] // key.shape[1]
    keys, values = (states.repeat_interleave(groups, dim=1) if groups > 1 else states for states in (key, value))
    scores = query @ keys.transpose(2, 3) * scale
    if (cap := kwargs.get("softcap")) is not None:
        scores = torch.tanh(scores / cap) * cap
    if attention_mask is not None:
        scores = scores + attention_mask[..., : keys.shape[2]]
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    mixed = (weights @ values).transpose(1, 2).contiguous()
    cache = _CACHE.get()
    layer = getattr(module, "layer_idx", None)
    if cache is not None and isinstance(layer, int):
        cache.layers[layer].observe(query, key, scale)
    return mixed, None

"""From a scheme's name to a cache for a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from core.errors import RequestError
from core.kvcache.catalog.catalog import refusal_on, scheme
from core.kvcache.catalog.settings import SchemeSettings
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.paging.slots import Scratch
from core.runs.registry import load
from core.runtime.cache import KvCache, KvLayer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LayerContext:
    """What a layer of any scheme is built from."""

    index: int
    """Of the decoder block, from 0."""
    geometry: Geometry
    settings: SchemeSettings
    max_tokens: int
    """Most tokens that will be appended."""
    batch: int
    inverse_frequencies: Tensor | None
    """Of the rotary positions, float32 [rotated dimensions / 2]; None where the model has none of the usual kind."""
    device: torch.device
    dtype: torch.dtype
    """Of the keys and values that arrive."""
    scratch: Scratch = field(default_factory=Scratch)
    """Working memory, the same for all layers of a cache."""


def build_cache(model: PreTrainedModel, name: str, settings: SchemeSettings, max_tokens: int, batch: int = 1) -> KvCache:
    """An empty cache of a scheme for a model.

    Args:
        model: any transformers causal LM.
        name: of the scheme.
        settings: sizes; `capacity` is not read.
        max_tokens: most tokens of a sequence; more than the model's context only where positions are those inside the cache.
        batch: sequences.

    Raises:
        RequestError: no such scheme, one that the model cannot have, or more tokens than the model has positions.
    """
    facts, card = scheme(name), card_of(model)
    refused = refusal_on(name, card, settings, model.device.type)
    if refused is not None:
        raise RequestError(refused)
    if max_tokens > card.context and facts.positions == "text":
        raise RequestError(f"{max_tokens} tokens exceed the model's context of {card.context}: request fewer")
    geometry = Geometry.of(card, model.dtype.itemsize)
    frequencies, scratch = inverse_frequencies(model), Scratch()
    layer: type[Any] = load(facts.layer)
    return KvCache(
        [
            cast(KvLayer, layer(LayerContext(index, geometry, settings, max_tokens, batch, frequencies, model.device, model.dtype, scratch)))
            for index in range(geometry.layers)
        ]
    )


def card_of(model: PreTrainedModel) -> ModelCard:
    """The card of a model in memory, by its configuration."""
    return ModelCard.from_config(model.config.to_dict(), name=type(model).__name__)


def inverse_frequencies(model: PreTrainedModel) -> Tensor | None:
    """Of the model's rotary positions, float32 [rotated dimensions / 2], where all blocks share them."""
    rotary = getattr(model.base_model, "rotary_emb", None)
    found = getattr(rotary, "inv_freq", None)
    return found.detach().float() if isinstance(rotary, nn.Module) and isinstance(found, Tensor) else None

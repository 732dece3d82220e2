"""The schemes that can be measured, as data: nothing of torch is imported before a cache is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.errors import RequestError
from core.kvcache import sizes
from core.kvcache.geometry import Geometry
from core.kvcache.settings import SchemeSettings
from core.models.card import ModelCard
from core.sanitize import clean

Formula = Callable[[Geometry, SchemeSettings, int, int], int]
"""(geometry, settings, tokens, batch) to bytes."""
Refusal = Callable[[ModelCard, SchemeSettings], str | None]
"""Why a model cannot have the scheme, as the end of a sentence that begins with the scheme's name; None when it can."""

REFERENCE = "dynamic"
"""The full cache that every scheme is compared with."""


def plain_attention(card: ModelCard, _settings: SchemeSettings) -> str | None:
    """Refuses models whose blocks do not all keep keys and values of the whole text."""
    if card.latent_cache is not None:
        return "keeps keys and values, and this model keeps one compressed vector a token (multi-head latent attention)"
    if card.recurrent_layers:
        return f"keeps keys and values, and {card.recurrent_layers} of this model's {card.layers} blocks keep a recurrent state instead"
    if card.sliding_layers:
        blocks = f"{card.sliding_layers} of this model's {card.layers} blocks"
        return f"needs attention over the whole text, and {blocks} slide over {card.sliding_window} tokens"
    return None


def any_cache(card: ModelCard, settings: SchemeSettings) -> str | None:
    """Refuses only what keeps no keys and values."""
    if card.latent_cache is not None or card.recurrent_layers:
        return plain_attention(card, settings)
    return None


@dataclass(frozen=True)
class SchemeFacts:
    """One scheme."""

    name: str
    title: str
    summary: str
    """One line: what is kept, and how."""
    layer: str
    """`module:Class` of its `core.runtime.cache.KvLayer`, which is constructed with a `core.kvcache.build.LayerContext`."""
    formula: Formula
    refusal: Refusal = plain_attention
    positions: Literal["text", "cache"] = "text"
    """Rotary positions: a token's place in the text, or its place among what is kept."""
    lossless: bool = False
    """Whether the model's outputs are those of the full cache, to rounding."""
    evicts: bool = False
    """Whether tokens are forgotten while the text goes on."""
    needs_cuda: bool = False


_ROWS: tuple[SchemeFacts, ...] = (
    SchemeFacts(
        "dynamic",
        "full, grows",
        "Every key and value as computed; grows with the text",
        "core.kvcache.schemes.full:DynamicScheme",
        sizes.dynamic,
        any_cache,
        lossless=True,
    ),
    SchemeFacts(
        "static",
        "full, fixed buffer",
        "Every key and value as computed, in a buffer allocated once",
        "core.kvcache.schemes.full:StaticScheme",
        sizes.static,
        any_cache,
        lossless=True,
    ),
)

SCHEMES: dict[str, SchemeFacts] = {facts.name: facts for facts in _ROWS}


def scheme(name: str) -> SchemeFacts:
    """The facts of a scheme.

    Raises:
        RequestError: there is none of that name.
    """
    try:
        return SCHEMES[name]
    except KeyError:
        raise RequestError(unknown(name)) from None


def refusal_on(name: str, card: ModelCard, settings: SchemeSettings, device: str) -> str | None:
    """The sentence for a scheme that this model or this device cannot have; None when both can."""
    facts = scheme(name)
    if facts.needs_cuda and not device.startswith("cuda"):
        return f"{name} moves keys and values between GPU and main memory, and there is no GPU in use: choose another scheme"
    reason = facts.refusal(card, settings)
    return None if reason is None else f"{name} {reason}: choose dynamic or another model"


def unknown(name: str) -> str:
    """The sentence for a name that no scheme has."""
    return f"there is no cache scheme {clean(repr(name), limit=80)}: choose {', '.join(SCHEMES)}, or all"

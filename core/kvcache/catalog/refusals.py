"""Why a model, or a choice of sizes, cannot have a scheme: the end of a sentence that begins with the scheme's name."""

from __future__ import annotations

from core.errors import RequestError
from core.kvcache.catalog.settings import SchemeSettings
from core.models.card import ModelCard
from core.sanitize import clean

TURNED_BY_HALVES = frozenset(
    (
        *("apertus", "arcee", "bitnet", "cwm", "diffllama", "doge", "dots1", "gemma", "glm4_moe", "gpt_neox", "granite", "granitemoe"),
        *("llama", "ministral3", "mistral", "mixtral", "nemotron", "olmo", "olmo2", "olmoe", "persimmon", "phi", "phi3"),
        *("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "stablelm", "starcoder2"),
    )
)
"""Families whose blocks all rotate keys alike, after everything else that is done to them, halves against each other."""

_VARYING = ("dynamic", "longrope")
"""Kinds of rotary positions whose frequencies depend on the length of the text."""


def check_positions(card: ModelCard, tokens: int) -> None:
    """Nothing when the model has positions for so many tokens. Raises RequestError otherwise."""
    if card.context and tokens > card.context:
        raise RequestError(f"{tokens} tokens exceed the {card.context} positions of {clean(card.name)}: request {card.context} or fewer")


def any_cache(card: ModelCard, _settings: SchemeSettings) -> str | None:
    """Refuses only what keeps no keys and values."""
    if card.latent_cache is not None:
        return "keeps keys and values, but this model keeps one compressed vector per token (multi-head latent attention)"
    if card.recurrent_layers:
        return f"keeps keys and values, and {card.recurrent_layers} of this model's {card.layers} blocks keep a recurrent state instead"
    if not card.caches_alike:
        return "keeps keys and values of one width, and the blocks of this model cache some of other widths"
    return None


def plain_attention(card: ModelCard, settings: SchemeSettings) -> str | None:
    """Refuses models whose blocks do not all keep keys and values of the whole text."""
    if card.sliding_layers and not card.recurrent_layers and card.latent_cache is None:
        blocks = f"{card.sliding_layers} of this model's {card.layers} blocks"
        return f"needs attention over the whole text, but {blocks} use a sliding window of {card.sliding_window} tokens"
    if card.rope_type == "alibi":
        return f"forgets tokens, and the attention of {card.model_type} counts the distance to every token (ALiBi)"
    return any_cache(card, settings)


def kivi(card: ModelCard, settings: SchemeSettings) -> str | None:
    """Refuses also a residual that is not a whole number of groups."""
    if not settings.residual or settings.residual % settings.group:
        return f"quantizes keys by groups of {settings.group} tokens, but the residual of {settings.residual} is not a multiple"
    return any_cache(card, settings)


def streaming(card: ModelCard, settings: SchemeSettings) -> str | None:
    """Refuses also models without plain rotary positions, which alone can be counted inside the cache."""
    if (reason := plain_attention(card, settings)) is not None:
        return reason
    if card.model_type not in TURNED_BY_HALVES:
        return f"rotates keys by their place in the cache, which needs Llama-style rotary positions, and {card.model_type} is not known to have them"
    if card.rope_type in _VARYING:
        return f"rotates keys by their place in the cache, and this model's rotary frequencies ({card.rope_type}) change with the length of the text"
    if settings.budget > card.context:
        return f"counts positions inside the cache, and a budget of {settings.budget} tokens is more than the model's context of {card.context}"
    return None


def h2o(card: ModelCard, settings: SchemeSettings) -> str | None:
    """Refuses also a budget without two halves."""
    if settings.budget < 2:
        return f"halves its budget between heavy hitters and recent tokens, and {settings.budget} cannot be halved"
    return plain_attention(card, settings)


def snapkv(card: ModelCard, settings: SchemeSettings) -> str | None:
    """Refuses also a budget that the observation window fills."""
    if settings.observed >= settings.budget:
        return f"keeps the prompt's last {settings.observed} tokens and those they attend to, and a budget of {settings.budget} has no room for these"
    return plain_attention(card, settings)

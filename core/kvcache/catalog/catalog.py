"""The schemes that can be measured, as data: a scheme's module is imported when its cache is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from core.errors import RequestError
from core.kvcache.catalog import refusals, sizes
from core.kvcache.catalog.settings import SchemeSettings
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.sanitize import clean

Formula = Callable[[Geometry, SchemeSettings, int, int], int]
"""(geometry, settings, tokens, batch) to bytes."""
Refusal = Callable[[ModelCard, SchemeSettings], str | None]
"""Why a model cannot have the scheme, as the end of a sentence that begins with the scheme's name; None when it can."""

REFERENCE = "dynamic"
"""The full cache that every scheme is compared with."""


@dataclass(frozen=True)
class SchemeFacts:
    """One scheme."""

    name: str
    title: str
    summary: str
    """One line: what is kept, and how."""
    layer: str
    """`module:Class` of its `core.runtime.cache.KvLayer`, which is constructed with a `core.kvcache.storage.build.LayerContext`."""
    formula: Formula
    refusal: Refusal = refusals.plain_attention
    positions: Literal["text", "cache"] = "text"
    """Rotary positions: a token's place in the text, or its place among what is kept."""
    lossless: bool = False
    """Whether the model's outputs are those of the full cache, to rounding."""
    evicts: bool = False
    """Whether tokens are forgotten while the text continues."""
    observes: bool = False
    """Whether it chooses by the attention of the queries, all of whose weights are then computed at once."""
    needs_cuda: bool = False


_ROWS: tuple[SchemeFacts, ...] = (
    SchemeFacts(
        "dynamic",
        "full, grows",
        "Every key and value as computed; grows with the text",
        "core.kvcache.schemes.full:DynamicScheme",
        sizes.dynamic,
        refusals.any_cache,
        lossless=True,
    ),
    SchemeFacts(
        "static",
        "full, fixed buffer",
        "Every key and value as computed, in a buffer allocated once",
        "core.kvcache.schemes.full:StaticScheme",
        sizes.static,
        refusals.any_cache,
        lossless=True,
    ),
    SchemeFacts(
        "paged",
        "pages",
        "Every key and value as computed, in blocks of a pool that sequences share",
        "core.kvcache.schemes.paged:PagedLayer",
        sizes.paged,
        refusals.any_cache,
        lossless=True,
    ),
    SchemeFacts(
        "int8",
        "8-bit integers",
        "Codes of 8 bits, a float16 scale per group of channels",
        "core.kvcache.schemes.int8:Int8Layer",
        sizes.int8,
        refusals.any_cache,
    ),
    SchemeFacts(
        "int4",
        "4-bit integers",
        "Codes of 4 bits, a float16 scale and minimum per group of channels",
        "core.kvcache.schemes.int4:Int4Layer",
        sizes.int4,
        refusals.any_cache,
    ),
    SchemeFacts(
        "fp8-e4m3",
        "8-bit floats, E4M3",
        "4 bits of exponent, 3 of mantissa, a float16 scale per token and head",
        "core.kvcache.schemes.fp8:Fp8E4M3Layer",
        sizes.fp8,
        refusals.any_cache,
    ),
    SchemeFacts(
        "fp8-e5m2",
        "8-bit floats, E5M2",
        "5 bits of exponent, 2 of mantissa, a float16 scale per token and head",
        "core.kvcache.schemes.fp8:Fp8E5M2Layer",
        sizes.fp8,
        refusals.any_cache,
    ),
    SchemeFacts(
        "kivi-4",
        "KIVI, 4 bits",
        "Keys quantized per channel over groups of tokens, values per token, the newest tokens in full",
        "core.kvcache.schemes.kivi:Kivi4Layer",
        partial(sizes.kivi, bits=4),
        refusals.kivi,
    ),
    SchemeFacts(
        "kivi-2",
        "KIVI, 2 bits",
        "Keys quantized per channel over groups of tokens, values per token, the newest tokens in full",
        "core.kvcache.schemes.kivi:Kivi2Layer",
        partial(sizes.kivi, bits=2),
        refusals.kivi,
    ),
    SchemeFacts(
        "sliding",
        "sliding window",
        "The last tokens of the budget, in full",
        "core.kvcache.schemes.sliding:SlidingLayer",
        sizes.sliding,
        evicts=True,
    ),
    SchemeFacts(
        "streaming",
        "StreamingLLM",
        "The first tokens and the last ones, at positions counted inside the cache",
        "core.kvcache.schemes.streaming:StreamingLayer",
        sizes.streaming,
        refusals.streaming,
        positions="cache",
        evicts=True,
    ),
    SchemeFacts(
        "h2o",
        "H2O, heavy hitters",
        "Half the budget for the tokens with the most attention, half for the last ones",
        "core.kvcache.schemes.h2o:H2OLayer",
        sizes.h2o,
        refusals.h2o,
        evicts=True,
        observes=True,
    ),
    SchemeFacts(
        "snapkv",
        "SnapKV",
        "The prompt cut down to the tokens that its last queries look at, all tokens after it",
        "core.kvcache.schemes.snapkv:SnapKvLayer",
        sizes.snapkv,
        refusals.snapkv,
        evicts=True,
        observes=True,
    ),
    SchemeFacts(
        "offload",
        "offloaded",
        "Every key and value as computed, older ones in main memory and fetched block by block",
        "core.kvcache.schemes.offload:OffloadLayer",
        sizes.offload,
        refusals.any_cache,
        lossless=True,
        needs_cuda=True,
    ),
)

SCHEMES: dict[str, SchemeFacts] = {facts.name: facts for facts in _ROWS}


def scheme(name: str) -> SchemeFacts:
    """The facts of a scheme. Raises RequestError: there is none of that name."""
    try:
        return SCHEMES[name]
    except KeyError:
        raise RequestError(unknown(name)) from None


def refusal_on(name: str, card: ModelCard, settings: SchemeSettings, device: str) -> str | None:
    """The sentence for a scheme that this model or this device cannot have; None when both can."""
    facts = scheme(name)
    if facts.needs_cuda and not device.startswith("cuda"):
        return f"{name} moves keys and values between GPU and main memory, but no GPU is in use: choose another scheme"
    reason = facts.refusal(card, settings)
    if reason is None:
        return None
    hopeless = scheme(REFERENCE).refusal(card, settings) is not None
    return f"{name} {reason}: choose {'another model' if hopeless else 'dynamic or another model'}"


def unknown(name: str) -> str:
    """The sentence for a name that no scheme has."""
    return f"unknown cache scheme {clean(repr(name), limit=80)}: choose {', '.join(SCHEMES)}, or all"

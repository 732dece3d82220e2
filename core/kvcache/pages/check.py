"""Whether a decode or a simulation of pages can be carried out on a model, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import RequestError
from core.kvcache.catalog import refusals, sizes
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.pages.requests import default_blocks, longest
from core.kvcache.pages.schedule.roofline import roofline_of, simulated
from core.kvcache.pages.schedule.traces import trace_of
from core.kvcache.pages.spec import PagesSpec
from core.measure.limits import available_memory
from core.measure.units import size
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.sanitize import clean


@dataclass(frozen=True)
class PagesCheck:
    """What a decode will take; an estimate."""

    blocks: int
    context: int
    """Tokens that contiguous caches are pre-allocated to."""
    longest: int
    """Tokens that a sequence can have at most."""
    pool_bytes: int
    contiguous_bytes: int
    """Of caches pre-allocated to `context`, for all sequences at once."""
    peak_memory_bytes: int
    warnings: tuple[str, ...] = ()


def check(spec: PagesSpec, card: ModelCard, *, memory_available: int | None = None) -> PagesCheck:
    """Judge a request against a model's card.

    Args:
        spec: the request.
        card: the model's.
        memory_available: bytes of memory that are free; default: this machine's, where a decode runs on the CPU.

    Raises:
        RequestError: a context beyond the model's, sequences that do not fit the context or the pool, a model whose cache cannot be paged, a decode
            that does not fit the memory, or a simulation that leaves no memory for a cache or has no
            sound trace.
    """
    card = simulated(spec, card)
    context = spec.context or card.context
    if context > card.context:
        raise RequestError(f"a context of {context:,} tokens is more than the {card.context:,} of {clean(card.name)}: ask for less")
    reason = refusals.plain_attention(card, SchemeSettings(block=spec.block_size))
    if reason is not None:
        raise RequestError(f"the paged cache {reason}: choose another model")
    if spec.mode == "simulate":
        return _simulation(spec, card, context)
    return _decode(spec, card, context, memory_available)


def _decode(spec: PagesSpec, card: ModelCard, context: int, free: int | None) -> PagesCheck:
    most = longest(spec)
    if most > context:
        raise RequestError(
            f"a sequence can have {most:,} tokens (beginning, prompt, answer, and both again in a follow-up) and the context is {context:,}: "
            "lower system-tokens, prompt-tokens or new-tokens"
        )
    blocks = spec.blocks or default_blocks(spec)
    each = -(-most // spec.block_size)
    if blocks < each + spec.samples:
        raise RequestError(
            f"a pool of {blocks} blocks of {spec.block_size} tokens cannot hold a sequence of {most:,} and its {spec.samples} samples: "
            f"give at least {each + spec.samples} blocks"
        )
    geometry = Geometry.of(card, sizes.value_bytes("auto", card, "cpu" if spec.device == "auto" else spec.device))
    pool = blocks * spec.block_size * sizes.dynamic(geometry, SchemeSettings(), 1, 1)
    twin = sizes.dynamic(geometry, SchemeSettings(), most, spec.at_once) if spec.compare else 0
    weights = card.parameters * geometry.value_bytes
    working = spec.at_once * card.vocabulary * 4 * 4 + 2 * most * spec.at_once * 2 * geometry.row_bytes
    peak = weights + pool + twin + working
    if free is None and spec.device in ("cpu", "auto"):
        free = available_memory()
    if free is not None and peak > free:
        raise RequestError(
            f"the decode takes about {size(peak)} (weights {size(weights)}, pool {size(pool)}, contiguous caches {size(twin)}) and {size(free)} of "
            "memory are free: lower blocks or at-once, leave compare out, or choose a smaller model"
        )
    contiguous = sizes.dynamic(geometry, SchemeSettings(), context, spec.at_once)
    return PagesCheck(blocks, context, most, pool, contiguous, peak)


def _simulation(spec: PagesSpec, card: ModelCard, context: int) -> PagesCheck:
    found = roofline_of(spec, card)
    if spec.trace == "file":
        trace_of(spec, context)
    return PagesCheck(found.blocks, context, context, found.blocks * found.block_bytes, 0, 0, found.warnings)

"""Whether a request fits a model and this machine: for the form, the command line and the run alike."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import RequestError
from core.kvcache.catalog.catalog import refusal_on, scheme
from core.kvcache.catalog.head_names import groups_of, name_of
from core.kvcache.catalog.refusals import check_positions
from core.kvcache.catalog.sizes import value_bytes
from core.kvcache.spec import KEPT_BYTES, KvCacheSpec
from core.measure.limits import available_memory
from core.measure.units import size
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.runs.worker.device import resolves_to_cpu
from core.sanitize import clean

_PROGRAM_BYTES = 450 * 2**20
_LOGIT_COPIES = 6
"""Rows of logits in float32 that are held at once when a step is scored: the reference's, the scheme's, what their softmax needs."""
_WEIGHT_COPIES = 3
_CHUNK = 512
"""Tokens of a prompt that are read at once (`core.runtime.prefill.CHUNK`)."""
_KEYS = ("k_proj", "attn_k")
"""How the projection of keys is called in a folder and in a GGUF file."""


@dataclass(frozen=True)
class MemoryLine:
    """One part of the estimated memory."""

    label: str
    bytes: int
    how: str


@dataclass(frozen=True)
class KvCheck:
    """What a request will take; an estimate, nothing here was measured."""

    tokens: int
    """Of a window."""
    prompt: int
    rows: tuple[tuple[str, int, str | None], ...]
    """(scheme, bytes of its cache by the formula, why it is refused or None), the full cache first."""
    variants: tuple[str, ...]
    """Head variants other than the model's own."""
    memory: tuple[MemoryLine, ...]
    peak_memory_bytes: int
    memory_available: int | None
    """Bytes that are free where the model runs; None for a GPU that was not looked at."""
    warnings: tuple[str, ...] = ()


def check(spec: KvCacheSpec, card: ModelCard, *, memory_available: int | None = None) -> KvCheck:
    """Judge a request against a model's card.

    Args:
        spec: the request.
        card: the model's.
        memory_available: bytes of memory that are free where the model runs; None: main memory's on a CPU, not looked at for a GPU.

    Raises:
        RequestError: more tokens than the model has positions, a prompt that fills the window, a batch that does not fit in memory, or no scheme
            that the model can have.
    """
    tokens, prompt = spec.context_of(card.context), spec.prompt_of(card.context)
    check_positions(card, tokens)
    if prompt >= tokens:
        raise RequestError(f"a prompt of {prompt} tokens leaves nothing to score in a window of {tokens}: lower prompt or raise context")
    if prompt + spec.steps > card.context:
        raise RequestError(
            f"a prompt of {prompt} and {spec.steps} timed steps are more than the {card.context} positions of {clean(card.name)}: lower one of them"
        )
    variants = spec.variants(card.heads, card.kv_heads)
    if variants and not any(linear.name_suffix.endswith(_KEYS) for linear in card.linears):
        raise RequestError(f"head variants need separate key and value projections, which {clean(card.name)} does not have: omit heads")
    device = "cpu" if resolves_to_cpu(spec.device) else "cuda"
    geometry, settings = Geometry.of(card, value_bytes(spec.dtype, card, device)), spec.settings(tokens, prompt)
    rows = tuple(
        (name, 0 if refused else scheme(name).formula(geometry, settings, tokens, spec.together), refused)
        for name in spec.measured
        for refused in (refusal_on(name, card, settings, device),)
    )
    wanted = [refused for name, _, refused in rows if name in spec.schemes]
    refusals = [refused for refused in wanted if refused is not None]
    if rows[0][2] is not None:
        raise RequestError(rows[0][2])
    if refusals and len(refusals) == len(wanted):
        raise RequestError(refusals[0])
    memory = _memory(spec, card, geometry, rows, variants)
    if device == "cpu":
        memory += (MemoryLine("program", _PROGRAM_BYTES, "Python with torch and transformers imported"),)
    peak = sum(line.bytes for line in memory)
    free = memory_available if memory_available is not None else available_memory() if device == "cpu" else None
    if free is not None and peak > free:
        raise RequestError(_does_not_fit(spec, tokens, memory, peak, free))
    return KvCheck(tokens, prompt, rows, variants, memory, peak, free, tuple(refusals))


def _memory(
    spec: KvCacheSpec, card: ModelCard, geometry: Geometry, rows: tuple[tuple[str, int, str | None], ...], variants: tuple[str, ...]
) -> tuple[MemoryLine, ...]:
    batch = spec.together
    widest = max([geometry.kv_heads, *(groups_of(name, card.heads) for name in variants)])
    own = f", {name_of(widest, card.heads)} heads" if widest != geometry.kv_heads else ""
    caches = rows[0][1] + max(held for _, held, _ in rows)
    copies = 2 if variants else 1
    tokens, prompt = spec.context_of(card.context), spec.prompt_of(card.context)
    kept = spec.windows * (tokens - prompt) * card.vocabulary * 4
    logits = _LOGIT_COPIES * batch * card.vocabulary * 4 + batch * prompt * (card.hidden_size + card.intermediate_size) * 4 * 4
    return (
        MemoryLine("weights", copies * card.parameters * geometry.value_bytes, "parameters x bytes of the arithmetic, twice with head variants"),
        MemoryLine("caches", caches * widest // geometry.kv_heads, f"the full cache and the largest other{own}, {batch} windows"),
        MemoryLine("predictions", kept if kept <= KEPT_BYTES else 0, "the full cache's, kept to compare with; computed again where they pass 1 GiB"),
        MemoryLine("working", logits, "logits of a step and activations of the prompt"),
        MemoryLine("attention", _looked_at(spec, card, rows), "weights of a chunk of the prompt, for schemes that choose by them, and their copies"),
    )


def _looked_at(spec: KvCacheSpec, card: ModelCard, rows: tuple[tuple[str, int, str | None], ...]) -> int:
    """Bytes of the attention weights that observing schemes are shown."""
    if not any(scheme(name).observes for name, _, refused in rows if refused is None):
        return 0
    prompt = spec.prompt_of(card.context)
    return _WEIGHT_COPIES * spec.together * card.heads * min(prompt, _CHUNK) * prompt * 4


def _does_not_fit(spec: KvCacheSpec, tokens: int, memory: tuple[MemoryLine, ...], peak: int, free: int) -> str:
    weights = memory[0].bytes
    advice = "lower batch or context" if weights < free else "choose a smaller model or another dtype"
    parts = ", ".join(f"{line.label} {size(line.bytes)}" for line in memory)
    return f"{spec.together} windows of {tokens} tokens take about {size(peak)} ({parts}) and {size(free)} of memory are free: {advice}"

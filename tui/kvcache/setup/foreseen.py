"""What a request will take, told before it starts. Reads models' cards: off the event loop."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from core.errors import LlmoptError
from core.kvcache.catalog.catalog import REFERENCE, SCHEMES, refusal_on, scheme
from core.kvcache.catalog.head_names import head_names
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.catalog.sizes import value_bytes
from core.kvcache.check import check
from core.kvcache.pages.spec import PagesSpec
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.check import check as check_why
from core.kvcache.why.spec import KvCacheWhySpec
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.runs.registry import CAPABILITIES, load
from tui.experiment.fit import NOT_HERE, Fit, must_be_fetched
from tui.services.services import Models
from tui.widgets import words
from tui.widgets.form.table_picker import Options, Row


def schemes(models: Models, spec: KvCacheSpec) -> Fit:
    """Bytes of the caches and of everything."""
    return _judged(models, spec.model, lambda card: _schemes(spec, card))


def why(models: Models, spec: KvCacheWhySpec) -> Fit:
    """Tokens that are generated, and what the cache holds at the end."""
    return _judged(models, spec.model, lambda card: _why(spec, card))


def pages(models: Models, spec: PagesSpec) -> Fit:
    """Blocks and their bytes."""
    return _judged(models, spec.model, lambda card: _pages(spec, card))


def scheme_options(models: Models, model: str, settings: SchemeSettings) -> Options:
    """Every scheme: what it keeps, how much smaller that is, or why a model cannot have it. Raises RequestError when there is no such model."""
    card = models.resolve(model).card()
    geometry, tokens = Geometry.of(card, 2), min(card.context or 1024, 1024)
    full = scheme(REFERENCE).formula(geometry, settings, tokens, 1)
    rows = []
    for name, facts in SCHEMES.items():
        refused = refusal_on(name, card, settings, "cuda")
        held = facts.formula(geometry, settings, tokens, 1) if refused is None else None
        ratio = "refused" if held is None else f"{full / held:.2f}x" if held else words.NOTHING
        kind = "exact" if facts.lossless else "evicts" if facts.evicts else "rounds"
        rows.append(Row(name, (name, ratio, kind, facts.title), refused or f"{facts.summary}{'; needs a GPU' if facts.needs_cuda else ''}"))
    note = f"smaller: than the full cache, by formula, at {tokens:,} tokens of 16 bit with the form's sizes"
    return Options((("scheme", 11), ("smaller", 9), ("", 8), ("", 44)), rows, note)


def head_options(models: Models, model: str) -> Options:
    """The ways in which the model's query heads can share key and value heads. Raises RequestError when there is no such model."""
    card = models.resolve(model).card()
    names = head_names(("all",), card.heads, card.kv_heads)
    rows = [Row(name, (name,), "The trained heads are averaged or repeated, not trained anew: averaged ones lose quality") for name in names]
    return Options((("heads", 10),), rows, f"the model's own: {card.heads} query and {card.kv_heads} key/value heads")


def _judged(models: Models, model: str, judge: Callable[[ModelCard], Fit]) -> Fit:
    if must_be_fetched(model):
        return NOT_HERE
    try:
        return judge(models.resolve(model).card())
    except LlmoptError as error:
        return Fit(refusal=str(error))


def _schemes(spec: KvCacheSpec, card: ModelCard) -> Fit:
    free = int(psutil.virtual_memory().available)
    found = check(spec, card, memory_available=free if spec.device == "cpu" else None)
    held = [held for _, held, refused in found.rows if refused is None]
    lines = [
        ("estimate", f"{words.count(spec.together)} windows of {words.count(found.tokens)} tokens, {words.count(found.prompt)} of them prompt"),
        ("", f"cache {words.size(held[0])} when full, {words.size(min(held))} at least"),
        ("", f"{words.size(found.peak_memory_bytes)} peak memory, {words.size(free)} free"),
    ]
    return Fit(lines=tuple(lines), warnings=_few(found.warnings))


def _why(spec: KvCacheWhySpec, card: ModelCard) -> Fit:
    check_why(spec, card)
    longest = spec.lengths[-1]
    per_token = Geometry.of(card, value_bytes(spec.dtype, card, spec.device))
    held = longest * per_token.layers * 2 * per_token.row_bytes
    lines = (
        ("estimate", f"{words.count(longest)} tokens with and without a cache, {spec.repeats} times"),
        ("", f"the cache holds {words.size(held)} at the end"),
    )
    return Fit(lines=lines)


def _pages(spec: PagesSpec, card: ModelCard) -> Fit:
    reference = CAPABILITIES[PagesSpec.capability].check if PagesSpec.capability in CAPABILITIES else ""
    if reference:
        load(reference)(spec, card)
    geometry = Geometry.of(card, 4 if spec.mode == "decode" else 2)
    block = spec.block_size * geometry.layers * 2 * geometry.row_bytes
    what = f"a block holds {spec.block_size} tokens in {words.size(block)}"
    if spec.mode == "simulate":
        return Fit(lines=(("simulation", f"{what}; step times are an estimate's, nothing is run"),))
    return Fit(
        lines=(("estimate", what), ("", f"{spec.requests} prompts, {spec.at_once} sequences at once, up to {spec.new_tokens} new tokens each"))
    )


def _few(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """The first of several, and how many more there are."""
    return sentences if len(sentences) < 3 else (sentences[0], f"and {len(sentences) - 1} more: the table tells")

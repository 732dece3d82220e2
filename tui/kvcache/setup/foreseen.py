"""What a request will take, known before it starts, and what can be chosen."""

from __future__ import annotations

from core.kvcache.catalog.catalog import REFERENCE, SCHEMES, refusal_on, scheme
from core.kvcache.catalog.head_names import head_names
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.catalog.sizes import value_bytes
from core.kvcache.check import KvCheck
from core.kvcache.pages.spec import PagesSpec
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.spec import KvCacheWhySpec
from core.models.kv_geometry import Geometry
from core.runs.launch.admission import Admission
from tui.experiment.fit import Fit
from tui.services.services import Models
from tui.widgets import words
from tui.widgets.form.table_picker import Options, Row


def schemes(spec: KvCacheSpec, admission: Admission) -> Fit:
    """Bytes of the caches and of everything."""
    found: KvCheck = admission.answer
    held = [held for _, held, refused in found.rows if refused is None]
    free = "" if found.memory_available is None else f", {words.size(found.memory_available)} free"
    lines = (
        ("estimate", f"{words.count(spec.together)} windows of {words.count(found.tokens)} tokens, {words.count(found.prompt)} of them prompt"),
        ("", f"cache {words.size(held[0])} when full, {words.size(min(held))} at least"),
        ("", f"{words.size(found.peak_memory_bytes)} peak memory{free}"),
    )
    return Fit(lines=lines, warnings=_few(found.warnings))


def why(spec: KvCacheWhySpec, admission: Admission) -> Fit:
    """Tokens that are generated, and what the cache holds at the end."""
    card = admission.require_card()
    longest = spec.lengths[-1]
    per_token = Geometry.of(card, value_bytes(spec.dtype, card, spec.device))
    held = longest * per_token.layers * 2 * per_token.row_bytes
    lines = (
        ("estimate", f"{words.count(longest)} tokens with and without a cache, {spec.repeats} times"),
        ("", f"the cache holds {words.size(held)} at the end"),
    )
    return Fit(lines=lines)


def pages(spec: PagesSpec, admission: Admission) -> Fit:
    """Blocks and their bytes."""
    geometry = Geometry.of(admission.require_card(), 4 if spec.mode == "decode" else 2)
    block = spec.block_size * geometry.layers * 2 * geometry.row_bytes
    what = f"a block holds {spec.block_size} tokens in {words.size(block)}"
    if spec.mode == "simulate":
        return Fit(lines=(("simulation", f"{what}; step times are estimates, nothing is run"),))
    return Fit(
        lines=(("estimate", what), ("", f"{spec.requests} prompts, {spec.at_once} sequences at once, up to {spec.new_tokens} new tokens each"))
    )


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
    rows = [Row(name, (name,), "The trained heads are averaged or repeated without retraining: averaging loses quality") for name in names]
    return Options((("heads", 10),), rows, f"the model's own: {card.heads} query and {card.kv_heads} key/value heads")


def _few(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """The first of several, and how many more there are."""
    return sentences if len(sentences) < 3 else (sentences[0], f"and {len(sentences) - 1} more: see the table")

"""Whether a drafter fits its target and this machine, and the speed-up to expect by the models' sizes alone.

Every figure here is an estimate and says how it was reached; the run measures the true ones.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.errors import RequestError
from core.measure.limits import available_memory
from core.models.card import ModelCard
from core.models.disk.files import read_object
from core.models.resolve import resolve
from core.models.source import ModelSource
from core.sanitize import clean
from core.speculate.bench.shape import kept_blocks, slots_needed
from core.speculate.medusa.place import HIDDEN_BYTES, TRAINING_ROWS, TRAINING_TOKENS, are_kept
from core.speculate.simulate.simulate import Costs, predict, verdict
from core.speculate.spec import DraftingSpec

ASSUMED_ALPHA = 0.8
"""Acceptance that a prediction from sizes alone assumes; a good pair on code reaches it."""
_BASE_BYTES = 450 * 2**20


class SpeculateFit(BaseModel):
    """What a request will take and may bring. An estimate: nothing here was measured."""

    model_config = ConfigDict(frozen=True)

    cost_ratio: float
    """Weights read for a drafted token over those read for a step of the target."""
    predicted_speedup: float
    """At the first gamma, with `ASSUMED_ALPHA` and a forward bound by reading weights."""
    peak_memory_bytes: int
    memory_available: int | None
    """Bytes of RAM that are free; None for a GPU, which was not looked at."""
    slots: int
    """Of a sequence's cache."""
    warnings: tuple[str, ...] = ()


def forecast(
    spec: DraftingSpec, card: ModelCard, *, prompt: int, new: int, batch: int, apart: bool = False, memory_available: int | None = None
) -> SpeculateFit:
    """Judge a request against the card of its target.

    Args:
        spec: who drafts, and how.
        card: the target's.
        prompt: tokens of a prompt.
        new: tokens that are generated for each.
        batch: sequences decoded together.
        apart: whether no sequence waits for another, so that none leaves holes in the cache.
        memory_available: bytes of RAM that are free; asked of the machine when None.

    Raises:
        RequestError: the request cannot be carried out, in one sentence.
    """
    slots = _check_length(spec, card, prompt, new, 1 if apart else batch)
    draft = _check_draft(spec, card)
    ratio = 0.0
    if spec.drafter == "layers":
        ratio = len(kept_blocks(card.layers, spec.keep_layers, spec.skip_layers)) / card.layers
    elif spec.drafter == "model" and draft is not None:
        ratio = draft.parameters / max(card.parameters, 1)
    peak = _memory(spec, card, draft, batch, slots)
    free = None
    if spec.device in ("cpu", "auto"):
        free = available_memory() if memory_available is None else memory_available
        if peak > free:
            raise RequestError(
                f"a batch of {batch} with {slots} slots a sequence takes about {_gib(peak)}, and {_gib(free)} of memory are free: "
                "lower the batch, prompt-tokens or tokens"
            )
    costs = Costs(ratio)
    prediction = predict(ASSUMED_ALPHA, spec.gamma[0], costs)
    return SpeculateFit(
        cost_ratio=ratio,
        predicted_speedup=prediction.speedup,
        peak_memory_bytes=peak,
        memory_available=free,
        slots=slots,
        warnings=tuple(_warnings(spec, card, draft, costs)),
    )


def _check_length(spec: DraftingSpec, card: ModelCard, length: int, new: int, batch: int) -> int:
    if card.context and length >= card.context:
        raise RequestError(f"a prompt of {length} tokens leaves no room in the {card.context} positions of {clean(card.name)}: lower prompt-tokens")
    slots = slots_needed(length, new, max(spec.gamma), batch)
    if card.context and slots > card.context:
        why = f" (rows that accept fewer drafts than others leave holes, so a batch of {batch} may need {slots})" if batch > 1 else ""
        raise RequestError(
            f"prompts of {length} tokens and {new} new ones do not fit the {card.context} positions of {clean(card.name)}{why}: "
            "lower tokens, prompt-tokens or the batch"
        )
    return slots


def _check_draft(spec: DraftingSpec, card: ModelCard) -> ModelCard | None:
    """The card of the draft model, whose tokens are the target's. Raises RequestError: they are not."""
    if spec.drafter != "model" or spec.draft is None:
        return None
    source, target = resolve(spec.draft), resolve(spec.model)
    draft = source.card()
    one, other = _vocabulary(target), _vocabulary(source)
    if one is not None and other is not None:
        if one != other:
            raise RequestError(
                f"the vocabularies differ: {clean(card.name)} has {one[0]} tokens and {source.title} {other[0]}, and "
                f"{'a number means another word in each' if one[0] == other[0] else 'numbers mean other words'}: "
                "choose a draft model of the same family"
            )
    elif draft.vocabulary != card.vocabulary:
        raise RequestError(
            f"the vocabularies differ: {clean(card.name)} has {card.vocabulary} tokens and {source.title} {draft.vocabulary}: "
            "choose a draft model of the same family"
        )
    return draft


def _vocabulary(source: ModelSource) -> tuple[int, str] | None:
    """Number of tokens and a hash of what each number means, by tokenizer.json; None without a readable one."""
    path = source.path / "tokenizer.json"
    return _hashed(path, path.stat().st_mtime_ns) if source.kind == "folder" and path.is_file() else None


@lru_cache(maxsize=64)
def _hashed(path: Path, _changed: int) -> tuple[int, str] | None:
    try:
        content = read_object(path, limit=2**28)
    except RequestError:
        return None
    model, added = content.get("model"), content.get("added_tokens")
    words = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(words, list):
        words = {str(entry[0]): number for number, entry in enumerate(words) if isinstance(entry, list) and entry}
    if not isinstance(words, dict):
        return None
    extra = {str(entry.get("content")): entry.get("id") for entry in added or () if isinstance(entry, dict)}
    every = sorted((words | extra).items(), key=lambda item: str(item[0]))
    return len(every), hashlib.sha256(json.dumps(every).encode()).hexdigest()


def _memory(spec: DraftingSpec, card: ModelCard, draft: ModelCard | None, batch: int, slots: int) -> int:
    """Weights in their arithmetic, both caches at full length, and distributions of a verification in float64 with their sorted copies."""
    width = 2 if spec.dtype in ("bfloat16", "float16") else 4
    models = [card] if draft is None else [card, draft]
    weights = sum(model.parameters * width for model in models)
    caches = sum(model.kv_bytes(slots, batch, 8 * width) for model in models)
    if spec.drafter == "layers":
        caches *= 2
    distributions = batch * (2 * max(spec.gamma) + 1) * card.vocabulary * 8 * 4
    return _BASE_BYTES + weights + caches + distributions + (_training_heads(spec, card) if spec.drafter == "medusa" else 0)


def _training_heads(spec: DraftingSpec, card: ModelCard) -> int:
    """Cached hidden states in bfloat16, and logits of a step with their gradients; nothing where heads are there already."""
    return 0 if _has_heads(spec) else min(HIDDEN_BYTES, TRAINING_TOKENS * card.hidden_size * 2) + 4 * 4 * TRAINING_ROWS * card.vocabulary


def _has_heads(spec: DraftingSpec) -> bool:
    return spec.medusa_heads is not None or are_kept(resolve(spec.model).path)


def _warnings(spec: DraftingSpec, card: ModelCard, draft: ModelCard | None, costs: Costs) -> list[str]:
    found = []
    if draft is not None and draft.parameters >= card.parameters:
        best = max((predict(1.0, gamma, costs) for gamma in spec.gamma), key=lambda each: each.speedup)
        found.append(
            f"the draft model has {draft.parameters:,} parameters and the target {card.parameters:,}: even with every draft accepted it would be "
            f"{best.speedup:.2f} times as fast as plain decoding (estimate from the sizes)"
        )
    elif costs.cost_ratio:
        slow = [predict(ASSUMED_ALPHA, gamma, costs) for gamma in spec.gamma]
        found += [f"estimate with {ASSUMED_ALPHA:.0%} acceptance: {verdict(each, costs)}" for each in slow if each.speedup < 1]
    if draft is not None and draft.context and card.context and draft.context < card.context:
        found.append(f"the draft model has {draft.context} positions and the target {card.context}: nothing is drafted beyond them")
    if spec.drafter == "medusa" and not _has_heads(spec):
        found.append(f"no Medusa heads of {clean(card.name)} are stored here: they are trained first, which takes up to two minutes")
    if spec.acceptance == "typical":
        found.append("typical acceptance is lossy: the output does not follow the target's distribution")
    return found


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"

"""From a spec to what drafts."""

from __future__ import annotations

from functools import partial

import torch

from core.context import RunContext
from core.errors import RequestError
from core.evaluate.encoding import vocabulary_hash
from core.formats.opening import open_whole, tokenizer_of
from core.models.resolve import resolve
from core.runtime.decoder import Decoder
from core.runtime.fused.decoder import FusedDecoder
from core.runtime.opening import open_decoder
from core.runtime.sampling import Sampling
from core.speculate.bench.shape import kept_blocks
from core.speculate.bench.speculator import LinearSpeculator, Target
from core.speculate.drafters.base import Drafter
from core.speculate.drafters.layers import with_blocks
from core.speculate.drafters.lookup import LookupDrafter
from core.speculate.drafters.model import ModelDrafter
from core.speculate.spec import DraftingSpec


def open_model(spec: DraftingSpec, target: Target, context: RunContext) -> LinearSpeculator:
    """A draft model with a cache of its own. Raises RequestError: its tokens are not the target's."""
    assert spec.draft is not None
    source = resolve(spec.draft)
    card = source.card()
    if vocabulary_hash(tokenizer_of(source)) != vocabulary_hash(target.tokenizer):
        raise RequestError(
            f"the vocabularies of {source.title} and {target.card.name} differ, so a drafted token means a "
            "different word to the target: choose a draft model of the same family"
        )
    context.progress(0, 0, f"reading {source.title}")
    model = open_whole(source, target.dtype, target.device)
    slots = min(target.decoder.max_tokens, card.context or target.decoder.max_tokens)
    decoder = open_decoder(model, slots, batch=target.decoder.batch)
    return LinearSpeculator(target.decoder, partial(_drafts, decoder, target.decoder.vocabulary), source.title, card.parameters)


def open_lookup(spec: DraftingSpec, target: Target, context: RunContext) -> LinearSpeculator:
    """N-grams of the text itself."""
    del context
    return LinearSpeculator(
        target.decoder, lambda _sampling, _generator: LookupDrafter(spec.ngram_min, spec.ngram_max), words_of(spec, target.card.layers)
    )


def open_layers(spec: DraftingSpec, target: Target, context: RunContext) -> LinearSpeculator:
    """The target with blocks left out."""
    del context
    kept = kept_blocks(target.card.layers, spec.keep_layers, spec.skip_layers)
    decoder = _without(target, [block for block in range(target.card.layers) if block not in kept])
    return LinearSpeculator(target.decoder, partial(_drafts, decoder, target.decoder.vocabulary), words_of(spec, target.card.layers))


def _without(target: Target, skipped: list[int]) -> Decoder:
    """A decoder of the target without some blocks, over the same weights."""
    if isinstance(target.decoder, FusedDecoder):
        fused: Decoder = target.decoder.skipping(skipped, batch=target.decoder.batch)
        return fused
    kept = [block for block in range(target.card.layers) if block not in skipped]
    return open_decoder(with_blocks(target.model, kept), target.decoder.max_tokens, batch=target.decoder.batch, fused=False)


def words_of(spec: DraftingSpec, layers: int) -> str:
    """What drafts, where it has no name of its own."""
    if spec.drafter == "lookup":
        return f"n-grams of {spec.ngram_min} to {spec.ngram_max} tokens in the text"
    kept = kept_blocks(layers, spec.keep_layers, spec.skip_layers)
    return f"blocks {', '.join(map(str, kept))} of the {layers}"


def _drafts(decoder: Decoder, vocabulary: int, sampling: Sampling, generator: torch.Generator | None) -> Drafter:
    return ModelDrafter(decoder, sampling, vocabulary, generator)

"""`llmopt kv-cache-pages`: a decode whose pages are watched, or a simulated scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from core import text
from core.context import RunContext
from core.errors import RequestError
from core.evaluate.encoding import tokenize
from core.evaluate.logits.threads import one_thread
from core.formats.opening import open_whole, tokenizer_of
from core.kvcache.pages.check import PagesCheck, check
from core.kvcache.pages.decode import PagedDecode, Running
from core.kvcache.pages.reporter import DecodeReporter, waste
from core.kvcache.pages.requests import requests_of, text_tokens
from core.kvcache.pages.result import PagesMetrics, PagesResult, SequenceRow, Series
from core.kvcache.pages.schedule.comparison import simulate
from core.kvcache.pages.series import thinned
from core.kvcache.pages.spec import PagesSpec
from core.models.card import ModelCard
from core.models.kv_geometry import Geometry
from core.models.resolve import resolve
from core.models.source import ModelSource
from core.runtime.changing_rope import original_context
from core.runtime.generate import eos_tokens
from core.runtime.sampling import Sampling
from core.runtime.threads import on_one_thread
from core.sanitize import clean

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def run(spec: PagesSpec, context: RunContext) -> PagesResult:
    """Carry a request out.

    Raises:
        RequestError: it does not fit the model or the machine.
        RunFailed: the model's predictions are not numbers.
    """
    source = resolve(spec.model)
    if spec.mode == "simulate":
        check(spec, source.card())
        return simulate(spec, source.card(), context)
    return _decode(spec, source, context)


def _decode(spec: PagesSpec, source: ModelSource, context: RunContext) -> PagesResult:
    card = source.card()
    found = check(spec.model_copy(update={"device": context.device}), card)
    dtype = torch.float32 if context.device == "cpu" else _DTYPES.get(card.dtype, torch.float32)
    context.progress(0, 1, "loading the model")
    model, tokenizer = open_whole(source, dtype, context.device), tokenizer_of(source)
    switch = original_context(model.config.get_text_config(decoder=True))
    if switch is not None and found.longest > switch:
        raise RequestError(
            f"the rotary frequencies of {clean(card.name)} change after {switch:,} tokens, so that sequences of other lengths share no pages, "
            f"and a sequence can have {found.longest:,}: lower prompt-tokens or new-tokens"
        )
    tokens = tokenize(text.load(spec.text), tokenizer, text_tokens(spec)).tolist()
    if len(tokens) <= spec.system_tokens:
        raise RequestError(f"the text has {len(tokens)} tokens, but {spec.system_tokens} are shared by all prompts: give a longer text")
    requests = requests_of(spec, tokens)
    total = sum(request.samples * request.new_tokens for request in requests[1])
    decode = PagedDecode(
        model,
        Geometry.of(card, dtype.itemsize),
        requests,
        blocks=found.blocks,
        block_size=spec.block_size,
        at_once=spec.at_once,
        sampling=Sampling(temperature=spec.temperature),
        seed=spec.seed,
        stops=frozenset(eos_tokens(model)),
        longest=found.longest,
        compare=spec.compare,
        on_step=DecodeReporter(context, tokenizer, found.context, total),
    )
    with one_thread() if on_one_thread(card, context.device) else nullcontext():
        decode.run()
    return _result(spec, card, found, decode, model, tokenizer)


def _result(
    spec: PagesSpec, card: ModelCard, found: PagesCheck, decode: PagedDecode, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> PagesResult:
    slots = [used * spec.block_size for used in decode.usage.used]
    reserved = [running * found.context for running in decode.usage.running]
    utilization = [used / found.blocks for used in decode.usage.used]
    filled = [1 - waste(stored, room) for stored, room in zip(decode.usage.stored, slots, strict=True)]
    contiguous = [1 - waste(tokens, room) for tokens, room in zip(decode.usage.tokens, reserved, strict=True)]
    tokens = sum(len(sequence.tokens) - sequence.prompt for sequence in decode.finished)
    slot_bytes = decode.pages.nbytes // (found.blocks * spec.block_size)
    metrics = PagesMetrics(
        utilization_mean=_mean(utilization),
        utilization_peak=max(utilization, default=None),
        waste_mean=None if not filled else 1 - fmean(filled),
        waste_contiguous_mean=None if not contiguous else 1 - fmean(contiguous),
        bytes_paged=max(slots, default=0) * slot_bytes,
        bytes_contiguous=max(reserved, default=0) * slot_bytes,
        hit_tokens=decode.pool.hit_tokens,
        hit_share=sum(sequence.hit_tokens for sequence in decode.finished) / max(decode.prompt_tokens, 1),
        copies=decode.pool.copies,
        reused=decode.pool.reused,
        identical=None if not spec.compare else decode.compared.differing == 0,
        logit_difference=None if not spec.compare else decode.compared.largest,
        tokens=tokens,
        seconds=decode.seconds,
        tokens_per_second=tokens / decode.seconds if decode.seconds else None,
        preemptions=decode.preemptions,
    )
    x = tuple(float(step + 1) for step in range(len(utilization)))
    series = Series(title="decode", x=x, utilization=tuple(utilization), filled=tuple(filled), contiguous=tuple(contiguous))
    return PagesResult(
        model=card.name,
        mode="decode",
        label="measured",
        block_size=spec.block_size,
        blocks=found.blocks,
        context=found.context,
        metrics=metrics,
        rows=tuple(_row(sequence, tokenizer) for sequence in sorted(decode.finished, key=lambda sequence: sequence.id)),
        series=(thinned(series),),
        notes=_notes(spec, decode, model, one=on_one_thread(card, model.device.type)),
    )


def _row(sequence: Running, tokenizer: PreTrainedTokenizerBase) -> SequenceRow:
    return SequenceRow(
        name=sequence.name,
        prompt_tokens=sequence.prompt,
        hit_tokens=sequence.hit_tokens,
        new_tokens=len(sequence.tokens) - sequence.prompt,
        blocks=sequence.blocks,
        shared_blocks=sequence.shared,
        waited_steps=sequence.waited,
        text=clean(str(tokenizer.decode(sequence.tokens[sequence.prompt :])), limit=400),
    )


def _notes(spec: PagesSpec, decode: PagedDecode, model: PreTrainedModel, *, one: bool) -> tuple[str, ...]:
    where = model.device.type if not one else f"one thread of the {model.device.type}"
    notes = [f"{str(model.dtype).removeprefix('torch.')} on {where}; time of the paged decode alone, prompts included"]
    if spec.compare:
        notes.append(
            "contiguous caches were fed the same tokens in the same batches: what was computed in the same shapes has the same bits, "
            "what was found in the pool instead of computed again differs by rounding"
        )
    if decode.compared.differing:
        notes.append(f"{decode.compared.differing} of {decode.compared.tokens} tokens would have differed with contiguous caches")
    return tuple(notes)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None

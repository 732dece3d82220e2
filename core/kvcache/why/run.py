"""`llmopt kv-cache-why`: the same tokens with a cache and without one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core import text
from core.context import RunContext
from core.evaluate.encoding import encode
from core.evaluate.logits.threads import torch_threads
from core.formats.opening import open_whole, tokenizer_of
from core.kvcache.catalog import sizes
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.measure.progress import Steps
from core.kvcache.storage.build import card_of
from core.kvcache.why.check import check
from core.kvcache.why.growth import fit, parts, tail_exponent
from core.kvcache.why.projections import counted
from core.kvcache.why.result import CostParts, GrowthFit, KvCacheWhyResult, LengthFigures
from core.kvcache.why.spec import KvCacheWhySpec
from core.measure.peak_memory import peak_rss_bytes
from core.models.kv_geometry import Geometry
from core.models.resolve import resolve
from core.models.stream.arithmetic import arithmetic
from core.runtime.decoder import Decoder
from core.runtime.module import ModuleDecoder
from core.runtime.opening import open_decoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NEIGHBOURS = 5
_WARM = 8


@dataclass
class _Way:
    """One way to decode: seconds of each step, a list a repeat; vectors computed up to each token."""

    cached: bool
    repeats: list[list[float]] = field(default_factory=list)
    vectors: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        return "with a cache" if self.cached else "without a cache"

    def token_ms(self, repeat: list[float], length: int) -> float:
        """Of the token at a length: the median of it and the few before it."""
        return 1000 * median(repeat[max(length - _NEIGHBOURS, 0) : length])

    def totals(self, repeat: list[float]) -> list[float]:
        """Seconds of all tokens up to each."""
        return list(accumulate(repeat))


def run(spec: KvCacheWhySpec, context: RunContext) -> KvCacheWhyResult:
    """Feed a text token by token both ways, in turns; then count what the projections computed.

    Raises:
        RequestError: lengths beyond the model's context, or a model that keeps no keys and values.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card = source.card()
    check(spec, card)
    longest = spec.lengths[-1]
    tokens = encode(text.load(spec.text), tokenizer_of(source), longest).tokens
    tokens = tokens[torch.arange(longest) % len(tokens)].to(context.device)[None]
    context.progress(0, 1, f"reading {source.title}")
    ways = (_Way(cached=True), _Way(cached=False))
    with torch_threads(spec.threads):
        model = open_whole(source, arithmetic(card, context.device, spec.dtype), context.device)
        decoder = open_decoder(model, longest)
        steps = Steps(context, (spec.repeats + 1) * (longest + longest * (longest + 1) // 2))
        for way in ways:
            _decode(decoder, tokens[:, :_WARM], way.cached, steps)
        for repeat in range(spec.repeats):
            for way in ways:
                steps.begin(f"{way.label}, repeat {repeat + 1} of {spec.repeats}")
                way.repeats.append(_decode(decoder, tokens, way.cached, steps))
                _tell(context, spec, way)
        for way in ways:
            steps.begin(f"{way.label}: counting keys and values")
            way.vectors = _count(model, tokens, way.cached, steps)
        used = torch.get_num_threads()
    geometry = Geometry.of(card_of(model), model.dtype.itemsize)
    fits, split = _fits(spec, ways), tuple(_parts(spec.lengths, way) for way in ways)
    return KvCacheWhyResult(
        model=source.title,
        path="module" if isinstance(decoder, ModuleDecoder) else "fused",
        threads=used,
        device=context.device,
        dtype=str(model.dtype).removeprefix("torch."),
        repeats=spec.repeats,
        rows=tuple(_figures(length, ways, geometry) for length in spec.lengths),
        fits=fits,
        parts=split,
        seconds=time.monotonic() - began,
        peak_rss_bytes=peak_rss_bytes(),
        notes=(*(found.sentence for found in fits), *(found.sentence for found in split)),
    )


def _decode(decoder: Decoder, tokens: Tensor, cached: bool, steps: Steps) -> list[float]:
    """Seconds from each token to the prediction behind it."""
    decoder.reset(1)
    found = []
    for position in range(tokens.shape[1]):
        began = _clock(decoder)
        _step(decoder, tokens, position, cached)
        found.append(_clock(decoder) - began)
        steps.step(1 if cached else position + 1)
    return found


def _step(decoder: Decoder, tokens: Tensor, position: int, cached: bool) -> None:
    """Predict what follows the token at `position`: from it and the cache alone, or by the whole text up to it."""
    if not cached:
        decoder.reset(1)
    first = position if cached else 0
    int(decoder.forward(tokens[:, first : position + 1], last=True)[0, -1].argmax())


def _count(model: PreTrainedModel, tokens: Tensor, cached: bool, steps: Steps) -> list[int]:
    """Key and value vectors computed up to each token, in the model's own modules, as many times over as in the timed runs."""
    decoder = ModuleDecoder(model, tokens.shape[1])
    found = []
    with counted(model) as count:
        for position in range(tokens.shape[1]):
            _step(decoder, tokens, position, cached)
            found.append(count.vectors)
            steps.step(1 if cached else position + 1)
    return found


def _clock(decoder: Decoder) -> float:
    if decoder.device.type == "cuda":
        torch.cuda.synchronize(decoder.device)
    return time.perf_counter()


def _tell(context: RunContext, spec: KvCacheWhySpec, way: _Way) -> None:
    for length in spec.lengths:
        context.metric("token_ms", median(way.token_ms(repeat, length) for repeat in way.repeats), step=length, label=way.label)


def _figures(length: int, ways: tuple[_Way, _Way], geometry: Geometry) -> LengthFigures:
    cached, plain = (median(way.token_ms(repeat, length) for repeat in way.repeats) for way in ways)
    totals = [median(way.totals(repeat)[length - 1] for repeat in way.repeats) for way in ways]
    return LengthFigures(
        tokens=length,
        with_ms=cached,
        without_ms=plain,
        speedup=plain / cached,
        with_total_seconds=totals[0],
        without_total_seconds=totals[1],
        total_speedup=totals[1] / totals[0],
        with_projections=ways[0].vectors[length - 1],
        without_projections=ways[1].vectors[length - 1],
        with_projections_formula=2 * geometry.layers * length,
        without_projections_formula=2 * geometry.layers * length * (length + 1) // 2,
        cache_bytes=sizes.dynamic(geometry, SchemeSettings(), length, 1),
    )


def _fits(spec: KvCacheWhySpec, ways: tuple[_Way, _Way]) -> tuple[GrowthFit, ...]:
    return tuple(_fit(spec.lengths, way, total=total) for total in (True, False) for way in ways)


def _fit(lengths: tuple[int, ...], way: _Way, *, total: bool) -> GrowthFit:
    """The growth of one time with the length, from the figures of every repeat."""
    times = [[way.totals(repeat)[n - 1] if total else way.token_ms(repeat, n) for n in lengths] for repeat in way.repeats]
    found = fit([float(n) for n in lengths] * len(times), [value for repeat in times for value in repeat])
    medians = [median(values) for values in zip(*times, strict=True)]
    quantity = "All tokens take" if total else "One more token takes"
    return GrowthFit(
        name=f"{'with' if way.cached else 'without'} {'total' if total else 'token'}",
        quantity="total seconds" if total else "token ms",
        cached=way.cached,
        coefficient=found.coefficient,
        exponent=found.exponent,
        low=found.low,
        high=found.high,
        r_squared=found.r_squared,
        points=len(lengths) * len(times),
        tail_exponent=tail_exponent(lengths, medians),
        sentence=f"{quantity} time as n^{found.exponent:.2f} {way.label} (95 % interval {found.low:.2f} to {found.high:.2f}), "
        f"n^{tail_exponent(lengths, medians):.2f} between {lengths[-2]} and {lengths[-1]} tokens.",
    )


def _parts(lengths: tuple[int, ...], way: _Way) -> CostParts:
    """The totals of every repeat as what each step costs and what each token of the text adds to it."""
    totals = [way.totals(repeat)[n - 1] for repeat in way.repeats for n in lengths]
    found = parts([float(n) for n in lengths] * len(way.repeats), totals)
    step, token = 1000 * found.step, 1e6 * found.token
    taken_over = "" if found.even is None else f"; the second part is the larger from {max(found.even, 1):,.0f} tokens on"
    return CostParts(
        cached=way.cached,
        step_ms=step,
        token_us=token,
        even_tokens=found.even,
        r_squared=found.r_squared,
        sentence=f"n tokens {way.label} take {step:.3g} ms x n + {token:.3g} us x n(n+1)/2{taken_over}.",
    )

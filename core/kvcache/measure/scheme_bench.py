"""Measure one row of the table: quality, bytes, speed and retrieval of a scheme on a model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.evaluate.result import Divergence
from core.evaluate.summary import divergence_of, perplexity_of
from core.kvcache.catalog.catalog import REFERENCE, scheme
from core.kvcache.measure.needle import Needles, retrieve
from core.kvcache.measure.progress import Steps
from core.kvcache.measure.quality import Kept, Live, Reference, Track, keep, measure
from core.kvcache.measure.speed import WARM, Times, in_turns
from core.kvcache.result import KvRow, NeedleFigure, Path
from core.kvcache.spec import KEPT_BYTES, KvCacheSpec
from core.kvcache.storage.build import build_cache, card_of
from core.models.kv_geometry import Geometry
from core.runtime.decoder import Decoder
from core.runtime.module import ModuleDecoder
from core.runtime.opening import open_decoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class _Held:
    """What a cache holds: bytes, those of them on the device, tokens of a sequence, sequences."""

    bytes: int
    on_device: int
    tokens: int
    rows: int

    @property
    def texts(self) -> int:
        """Tokens of all sequences."""
        return self.tokens * self.rows


class Bench:
    """What all rows share: the model, the text, and the full cache's predictions for it.

    Args:
        model: as it is, in evaluation mode.
        windows: int64 [N, T], on the CPU.
        prompt: first tokens of each window, which are read at once.
        spec: how often and how long.
        needles: texts for retrieval, or None.
        steps: progress, in forward passes.
    """

    def __init__(self, model: PreTrainedModel, windows: Tensor, prompt: int, spec: KvCacheSpec, needles: Needles | None, steps: Steps) -> None:
        self.model, self.steps = model, steps
        self._prompt, self._spec, self._needles = prompt, spec, needles
        self._batches = torch.split(windows.to(model.device), spec.together)
        self._tokens = windows.shape[1]
        again = torch.arange(prompt + spec.steps) % windows.numel()
        self._timed = windows.flatten()[again].to(model.device)[None]
        self._full: Track | None = None
        self._last: tuple[object, Decoder] | None = None
        self._kept: list[Reference] = []

    def cost(self, rows: int) -> int:
        """Forward passes of so many rows."""
        scored = len(self._batches) * (self._tokens - self._prompt)
        timed = 2 * (self._spec.repeats * self._spec.steps + WARM)
        return scored + rows * (scored + timed + (0 if self._needles is None else self._needles.texts))

    def row(self, name: str, scheme_name: str, model: PreTrainedModel, heads: str, *, own: bool) -> KvRow:
        """Measure a scheme on a model that is this one or a head variant of it; the first row must be the reference's.

        Raises:
            RequestError: the scheme cannot be used so.
            RunFailed: its predictions are not numbers.
        """
        began = time.monotonic()
        facts = scheme(scheme_name)
        self.steps.begin(f"{name}: perplexity through the cache")
        track, held = self._quality(name, scheme_name, model)
        if self._full is None:
            self._full = track
        found = divergence_of(self._full.nll.flatten(), track.nll.flatten(), track.kl.flatten(), track.same_top.flatten())
        self.steps.begin(f"{name}: time per token")
        path, reference, times = self._speed(scheme_name, model, is_reference=own and scheme_name == REFERENCE)
        self.steps.begin(f"{name}: needles")
        geometry = Geometry.of(card_of(model), model.dtype.itemsize)
        full = scheme(REFERENCE).formula(Geometry.of(card_of(self.model), self.model.dtype.itemsize), self._spec.settings(), held.tokens, held.rows)
        formula = facts.formula(geometry, self._spec.settings(self._tokens, self._prompt), held.tokens, held.rows)
        needles = self._retrieval(scheme_name, model)
        row = KvRow(
            name=name,
            scheme=scheme_name,
            title=facts.title if own else f"{heads}, full cache",
            heads=heads,
            own_heads=own,
            lossless=facts.lossless and own,
            evicts=facts.evicts,
            path=path,
            tokens=held.tokens,
            sequences=held.rows,
            bytes_held=held.bytes,
            bytes_on_device=held.on_device,
            bytes_formula=formula,
            bytes_per_token=held.bytes / held.texts,
            bits_per_value=8 * held.bytes / (held.texts * geometry.layers * geometry.values_per_token),
            compression=full / held.bytes,
            ttft_ms=times.ttft_ms,
            tpot_ms=times.tpot_ms,
            tpot_reference_ms=reference.tpot_ms,
            tpot_ratio=times.tpot_ms / reference.tpot_ms,
            ppl_se=perplexity_of(track.nll.flatten()).ppl_se,
            needle=needles,
            needle_rate=sum(figure.hits for figure in needles) / sum(figure.trials for figure in needles) if needles else None,
            needle_gain=sum(figure.gain for figure in needles) / len(needles) if needles else None,
            seconds=time.monotonic() - began,
            **_divergence(found),
        )
        for figure in ("bytes_per_token", "ppl_ratio", "kl_mean", "top1_agreement", "tpot_ms", "ttft_ms", "needle_rate"):
            if (value := getattr(row, figure)) is not None:
                self.steps.context.metric(figure, value, label=name)
        return row

    def _open(self, scheme_name: str, model: PreTrainedModel, tokens: int, rows: int) -> Decoder:
        cache = build_cache(model, scheme_name, self._spec.settings(), tokens, rows)
        return open_decoder(model, tokens, cache=cache, batch=rows)

    def _reused(self, scheme_name: str, model: PreTrainedModel, tokens: int, rows: int) -> Decoder:
        """The decoder that was opened last where it is of this kind, else a new one; whoever takes it resets it."""
        kind = (scheme_name, id(model), tokens, rows)
        if self._last is None or self._last[0] != kind:
            self._last = None
            self._last = kind, self._open(scheme_name, model, tokens, rows)
        return self._last[1]

    def _quality(self, name: str, scheme_name: str, model: PreTrainedModel) -> tuple[Track, _Held]:
        """Figures of every scored token; bytes of the cache at the end of the first batch."""
        parts, held = [], _Held(0, 0, 1, 1)
        curve = self.steps.curve(name, self._tokens - self._prompt)
        for index, (windows, reference) in enumerate(zip(self._batches, self._references(), strict=True)):
            decoder = self._reused(scheme_name, model, self._tokens, len(windows))
            parts.append(measure(decoder, windows, self._prompt, reference, curve.batch(len(windows))))
            if index == 0:
                layers: list[Any] = decoder.cache.layers
                on_device = sum(getattr(layer, "device_bytes", layer.nbytes) for layer in layers)
                held = _Held(decoder.cache.nbytes, on_device, decoder.cache.seen, len(windows))
        return Track.joined(parts), held

    def _references(self) -> list[Reference]:
        """The full cache's predictions on the model as it is, for each batch; kept where memory allows."""
        if not self._kept:
            each = (self._tokens - self._prompt) * self.model.config.get_text_config().vocab_size * 4
            fits = each * sum(len(windows) for windows in self._batches) <= KEPT_BYTES
            self._kept = [self._kept_of(windows) if fits else self._live(windows) for windows in self._batches]
            self._last = None
        return self._kept

    def _kept_of(self, windows: Tensor) -> Kept:
        return keep(self._reused(REFERENCE, self.model, self._tokens, len(windows)), windows, self._prompt, self.steps.step)

    def _live(self, windows: Tensor) -> Live:
        return Live(lambda: self._open(REFERENCE, self.model, self._tokens, len(windows)), windows, self._prompt)

    def _speed(self, scheme_name: str, model: PreTrainedModel, *, is_reference: bool) -> tuple[Path, Times, Times]:
        length, self._last = self._timed.shape[1], None
        measured = self._open(scheme_name, model, length, 1)
        decoders = [measured] if is_reference else [self._open(REFERENCE, self.model, length, 1), measured]
        times = in_turns(decoders, self._timed, self._prompt, self._spec.repeats, self.steps.step)
        return "module" if isinstance(measured, ModuleDecoder) else "fused", times[0], times[-1]

    def _retrieval(self, scheme_name: str, model: PreTrainedModel) -> tuple[NeedleFigure, ...]:
        if self._needles is None:
            return ()
        length = self._needles.without.shape[1]
        return retrieve(lambda rows: self._reused(scheme_name, model, length, rows), self._needles, 2 * self._spec.together, self.steps.step)


def refused_row(name: str, heads: str, reason: str) -> KvRow:
    """The row of a scheme that the model cannot have."""
    facts = scheme(name)
    return KvRow(name=name, scheme=name, title=facts.title, heads=heads, own_heads=True, refused=reason, lossless=facts.lossless, evicts=facts.evicts)


def _divergence(found: Divergence) -> dict[str, float]:
    """What a row takes over."""
    names = ("ppl", "ppl_ratio", "ln_ppl_ratio", "ln_ppl_ratio_se", "kl_mean", "kl_se", "top1_agreement", "top1_se")
    return {name: getattr(found, name) for name in names}

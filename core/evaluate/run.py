"""`llmopt evaluate`: from a request to measured figures."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

from core import text
from core.errors import RequestError
from core.evaluate.check import check
from core.evaluate.encoding import Encoding, differs_from_its_file, encode, vocabulary_hash
from core.evaluate.logits.llama_cpp_source import LlamaCppLogits
from core.evaluate.logits.opening import dtype_for, open_model, open_with_kernels, streams
from core.evaluate.logits.sources import LogitSource, StreamedLogits
from core.evaluate.logits.walk import Track, walk
from core.evaluate.result import Convention, EvaluateResult
from core.evaluate.spec import EvaluateSpec
from core.evaluate.summary import divergence_of, perplexity_of
from core.evaluate.windows import windows_of
from core.formats.opening import not_computed, tokenizer_of
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.resolve import resolve
from core.models.source import ModelSource
from core.text import Corpus

_POINTS_OF_A_CURVE = 200
_COMPARED_CHARACTERS = 20_000


class Context(Protocol):
    """What an evaluation needs of `core.context.RunContext`."""

    device: str

    def progress(self, done: int, total: int, label: str) -> None:
        """`done` of `total` steps are finished; `label` says what comes next."""

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        """A measured figure."""

    def log(self, text: str) -> None:
        """A line for the user."""

    def check_cancelled(self) -> None:
        """Raise `core.errors.Cancelled` when the user has cancelled."""


def run(spec: EvaluateSpec, context: Context) -> EvaluateResult:
    """Measure a model, together with its reference if there is one.

    Raises:
        RequestError: models, text and windows do not fit together; found before any weights are read.
        RunFailed: a model answers NaN.
        Cancelled: by the user.
    """
    began = time.monotonic()
    sources = [resolve(name) for name in (spec.reference, spec.model) if name is not None]
    cards = [source.card() for source in sources]
    check(spec, cards[-1])
    corpus = text.load(spec.text)
    tokenizers = [tokenizer_of(source) for source in sources]
    encoding, opening = _encode(corpus, sources, tokenizers, cards[-1].vocabulary, spec)
    windows = windows_of(encoding.tokens, spec.context, spec.stride, scoring=spec.scoring, bos=opening)

    steps = _Steps(context, len(windows.tokens))
    models = _open(sources, cards, spec, context.device, steps)
    steps.total += sum(model.n_steps(windows.tokens) for model in models if isinstance(model, StreamedLogits))
    tracks = walk(models, windows, steps.window)
    convention = Convention(
        corpus=corpus.name,
        sha256=corpus.sha256,
        context=spec.context,
        stride=spec.stride or spec.context,
        scoring=spec.scoring,
        bos="window" if opening is not None else "text" if encoding.bos else "none",
        windows=len(windows.tokens),
        tokens_scored=windows.n_scored,
        bytes=None if encoding.token_bytes is None else int(encoding.token_bytes[windows.scored_positions()].sum()),
        dtype=", ".join(dict.fromkeys(_arithmetic(spec, cards, context.device))),
    )
    warnings = _warnings(spec, encoding, sources)
    sample = corpus.piece(0, _COMPARED_CHARACTERS)
    if sources[-1].kind != "gguf" and differs_from_its_file(tokenizers[-1], sources[-1].path / "tokenizer.json", sample):
        warnings += (
            f"transformers' {type(tokenizers[-1]).__name__} splits this text into other tokens than tokenizer.json, by which the model was probably "
            "trained: the figures are those of transformers' tokens",
        )
    for warning in warnings:
        context.log(warning)
    return _result(spec, tracks, convention, warnings, time.monotonic() - began)


def _encode(
    corpus: Corpus, sources: Sequence[ModelSource], tokenizers: Sequence[Any], vocabulary: int, spec: EvaluateSpec
) -> tuple[Encoding, int | None]:
    """The tokens of the text, the same for all models, and the token that opens every window if the convention has one."""
    if len({vocabulary_hash(tokenizer, vocabulary or None) for tokenizer in tokenizers}) > 1:
        names = " and ".join(source.title for source in sources)
        raise RequestError(
            f"the tokenizers of {names} differ, so their predictions cannot be compared token by token: choose a reference of the same family"
        )
    encoding = encode(corpus, tokenizers[-1], spec.tokens)
    opening = tokenizers[-1].bos_token_id if spec.scoring == "llama.cpp" and encoding.bos else None
    return encoding, opening


def _open(sources: Sequence[ModelSource], cards: Sequence[ModelCard], spec: EvaluateSpec, device: str, steps: _Steps) -> list[LogitSource]:
    streaming = streams(spec, cards, device)
    models: list[LogitSource] = []
    for source, card in zip(sources, cards, strict=True):
        if spec.engine == "llama.cpp" and source is sources[-1]:
            models.append(LlamaCppLogits(source.path))
            continue
        if not streaming:
            steps.say(f"reading {source.title}")
        if spec.kernels == "packed":
            packed, words = open_with_kernels(source, dtype_for(spec, card, device), device)
            if source is sources[-1]:
                steps.log(f"{source.title}: {words}")
            models.append(packed)
            continue
        models.append(open_model(source, dtype_for(spec, card, device), device, streaming=streaming, on_block=steps.block))
    return models


def _arithmetic(spec: EvaluateSpec, cards: Sequence[ModelCard], device: str) -> list[str]:
    """What computes each model."""
    names = [str(dtype_for(spec, card, device)).removeprefix("torch.") for card in cards]
    if spec.kernels == "packed":
        return [f"{name}, packed weights" for name in names]
    return [*names[:-1], "llama.cpp"] if spec.engine == "llama.cpp" else names


def _warnings(spec: EvaluateSpec, encoding: Encoding, sources: Sequence[ModelSource]) -> tuple[str, ...]:
    found = [not_computed(source) for source in sources]
    if len(encoding.tokens) < spec.tokens:
        found.append(f"the text has {len(encoding.tokens)} tokens, fewer than the {spec.tokens} requested")
    return tuple(warning for warning in found if warning is not None)


def _result(spec: EvaluateSpec, tracks: Sequence[Track], convention: Convention, warnings: tuple[str, ...], seconds: float) -> EvaluateResult:
    own = perplexity_of(tracks[-1].nll, convention.bytes)
    compared = {}
    if len(tracks) > 1:
        found = divergence_of(tracks[0].nll, tracks[1].nll, tracks[1].kl, tracks[1].same_top)
        compared = found.model_dump(exclude={"ppl", "tokens"})
    return EvaluateResult(
        model=spec.model,
        reference=spec.reference,
        **own.model_dump(),
        **compared,
        seconds=seconds,
        peak_rss_bytes=peak_rss_bytes(),
        evaluation=convention,
        warnings=warnings,
    )


class _Steps:
    """Progress in steps of windows scored and, of streamed models, blocks passed."""

    def __init__(self, context: Context, windows: int) -> None:
        self.total = windows
        self._done = 0
        self._context = context

    def say(self, label: str) -> None:
        self._context.check_cancelled()
        self._context.progress(self._done, self.total, label)

    def log(self, text: str) -> None:
        self._context.log(text)

    def block(self, done: int, blocks: int) -> None:
        self._done += 1
        self.say(f"block {done + 1} of {blocks}" if done < blocks else "scoring")

    def window(self, done: int, windows: int, nll: float) -> None:
        self._done += 1
        if done == windows or (done * _POINTS_OF_A_CURVE) // windows != ((done - 1) * _POINTS_OF_A_CURVE) // windows:
            self._context.metric("ppl", math.exp(min(nll, 700.0)), step=done)
        self.say(f"window {done + 1} of {windows}" if done < windows else "")

"""Carry out `llmopt verify`: look at the tensors, then let the model predict text."""

from __future__ import annotations

import math
import time

from core.errors import LlmoptError
from core.evaluate.result import EvaluateResult
from core.evaluate.run import Context
from core.evaluate.run import run as evaluate
from core.evaluate.spec import EvaluateSpec
from core.evaluate.verify.result import VerifyResult
from core.evaluate.verify.spec import VerifySpec
from core.formats.verify.checks import CheckBook
from core.formats.verify.verify import look_at_folder, look_at_gguf
from core.measure.peak_memory import peak_rss_bytes
from core.models.card import ModelCard
from core.models.disk.gguf_header import read_gguf_header
from core.models.disk.headers import model_tensors
from core.models.resolve import resolve

_GIBBERISH = 2
"""A perplexity of this many times the vocabulary is worse than any guess."""


def run(spec: VerifySpec, context: Context) -> VerifyResult:
    """Verify a checkpoint.

    Raises:
        RequestError: nothing that is a model; everything else that is wrong with it is a check that fails.
        Cancelled: by the user.
    """
    began = time.monotonic()
    source = resolve(spec.model)
    card, book = source.card(), CheckBook()
    of_file = source.kind == "gguf"
    looked = _Looked(context, len(read_gguf_header(source.path).tensors if of_file else model_tensors(source.path)))
    seen = (look_at_gguf if of_file else look_at_folder)(source.path, book, looked.at)
    measured = _measure(spec, card, book, looked) if spec.eval_tokens and not book.failed else None
    return VerifyResult(
        model=source.title,
        verified=not book.failed,
        format=seen.format,
        scheme=seen.scheme,
        rounds_inputs=seen.rounds_inputs,
        linears=seen.linears,
        bytes=seen.bytes,
        bits_per_weight=8 * seen.bytes / max(card.parameters, 1),
        bits_per_quantized_weight=seen.bits_per_quantized_weight,
        checks=book.results(),
        ppl=measured.ppl if measured is not None and math.isfinite(measured.ppl) else None,
        seconds=time.monotonic() - began,
        peak_rss_bytes=peak_rss_bytes(),
        evaluation=None if measured is None else measured.evaluation,
        warnings=() if measured is None else measured.warnings,
    )


class _Looked:
    """Progress over the tensors, then on through the evaluation."""

    def __init__(self, context: Context, tensors: int) -> None:
        self.device = context.device
        self._context, self._done, self._total = context, 0, tensors

    def at(self, name: str) -> None:
        """The next tensor is `name`."""
        self.check_cancelled()
        self._context.progress(self._done, self._total, f"checking {name}")
        self._done += 1

    def progress(self, done: int, total: int, label: str) -> None:
        """Of the evaluation."""
        self._context.progress(self._done + done, self._done + total, label)

    def metric(self, name: str, value: float, step: int = 0, label: str = "") -> None:
        """Of the evaluation."""
        self._context.metric(name, value, step, label)

    def log(self, text: str) -> None:
        """Of the evaluation."""
        self._context.log(text)

    def check_cancelled(self) -> None:
        """As of the run."""
        self._context.check_cancelled()


def _measure(spec: VerifySpec, card: ModelCard, book: CheckBook, context: Context) -> EvaluateResult | None:
    """Perplexity, and whether the model that predicts so is one."""
    window = min(spec.context, card.context)
    asked = EvaluateSpec(model=spec.model, text=spec.text, context=window, tokens=max(spec.eval_tokens, window), device=spec.device, seed=spec.seed)
    try:
        measured = evaluate(asked, context)
    except LlmoptError as error:
        if error.exit_code == 130:
            raise
        book.complain("perplexity", str(error))
        return None
    found = f"{measured.ppl:.4g} over a vocabulary of {card.vocabulary:,}"
    if not math.isfinite(measured.ppl) or measured.ppl > _GIBBERISH * card.vocabulary:
        book.complain("perplexity", f"{found}: the weights produce no meaningful predictions")
    elif measured.ppl >= card.vocabulary:
        book.complain("perplexity", f"{found}: no better than chance", "warn")
    book.fact("perplexity", found)
    return measured

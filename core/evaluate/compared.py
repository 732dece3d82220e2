"""Measure a changed model next to the original on the same text: perplexity of both, divergence between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from core import text
from core.evaluate.encoding import Encoding, encode
from core.evaluate.logits.sources import StreamedLogits
from core.evaluate.logits.walk import walk
from core.evaluate.result import Convention, Divergence, Perplexity
from core.evaluate.summary import divergence_of, perplexity_of
from core.evaluate.windows import Windows, windows_of
from core.models.source import ModelSource
from core.models.stream.streaming import StreamedModel, load_tokenizer
from core.text import Corpus

_HIDDEN_BYTES = 2**30
_QUALITY = ("ppl_ratio", "ln_ppl_ratio", "ln_ppl_ratio_se", "kl_mean", "kl_se", "top1_agreement", "top1_se")

OnStep = Callable[[str], None]
"""Called after each step with the label of the next one."""


@dataclass(frozen=True)
class Evaluation:
    """Text that is tokenized and cut, so that nothing about it can fail after hours of work."""

    corpus: Corpus
    encoding: Encoding
    windows: Windows
    context: int
    limit: int
    """Tokens that were asked for."""

    @classmethod
    def prepare(cls, source: ModelSource, corpus: str, tokens: int, context: int) -> Evaluation:
        """Read and cut the text. Raises RequestError: no text, or not enough for one window."""
        loaded = text.load(corpus)
        encoding = encode(loaded, load_tokenizer(source), tokens)
        return cls(loaded, encoding, windows_of(encoding.tokens, context), context, tokens)

    def cut_by(self, tokenizer: Any) -> Evaluation:
        """The same text as another tokenizer cuts it, None: as it is. Raises RequestError: that makes too few tokens for one window."""
        if tokenizer is None:
            return self
        encoding = encode(self.corpus, tokenizer, self.limit)
        return replace(self, encoding=encoding, windows=windows_of(encoding.tokens, self.context))

    def steps(self, models: int, blocks: int) -> int:
        """How often `on_step` is called when this many models of this many blocks are measured and all windows fit in one share."""
        return models * blocks + len(self.windows.tokens)

    def measure(self, original: StreamedModel, others: Mapping[str, StreamedModel], on_step: OnStep) -> Measured:
        """Perplexity of each model and the divergence of the others from the original; `others` is by a name of the caller's choice."""

        def on_block(done: int, blocks: int) -> None:
            on_step(f"evaluating: block {min(done + 1, blocks)} of {blocks}")

        def on_window(done: int, windows: int, _nll: float) -> None:
            on_step(f"evaluating: window {min(done + 1, windows)} of {windows}")

        share = _HIDDEN_BYTES // (1 + len(others))
        sources = [StreamedLogits(model, hidden_bytes=share, on_block=on_block) for model in (original, *others.values())]
        base, *tracks = walk(sources, self.windows, on_window)
        positions = self.windows.scored_positions()
        n_bytes = None if self.encoding.token_bytes is None else int(self.encoding.token_bytes[positions].sum())
        convention = Convention(
            corpus=self.corpus.name,
            sha256=self.corpus.sha256,
            context=self.context,
            stride=self.context,
            scoring="all-targets",
            bos="text" if self.encoding.bos else "none",
            windows=len(self.windows.tokens),
            tokens_scored=self.windows.n_scored,
            bytes=n_bytes,
            dtype=str(original.dtype).removeprefix("torch."),
        )
        divergences = {name: divergence_of(base.nll, track.nll, track.kl, track.same_top) for name, track in zip(others, tracks, strict=True)}
        return Measured(
            perplexity_of(base.nll, n_bytes), divergences, convention, {name: track.nll for name, track in zip(others, tracks, strict=True)}, base.nll
        )


@dataclass(frozen=True)
class Measured:
    """What `Evaluation.measure` found; `others` by the names they were given."""

    original: Perplexity
    others: dict[str, Divergence]
    convention: Convention
    nll: dict[str, Tensor]
    """Negative log-likelihood of each scored token, float64 [n] in nats."""
    original_nll: Tensor
    """The same of the original."""

    def quality_of(self, name: str) -> dict[str, float]:
        """The figures of one of `others` that the metrics of every compression have, by the names of their fields."""
        return {figure: getattr(self.others[name], figure) for figure in _QUALITY}

"""What an evaluation found."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

from core.evaluate.spec import Scoring

Bos = Literal["none", "text", "window"]

PERCENTILES = (0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Convention(_Frozen):
    """How a perplexity was measured: figures under different conventions are not comparable."""

    corpus: str
    sha256: str
    """Of the corpus' whole text in UTF-8."""
    context: int
    stride: int
    """Equal to `context` when windows stand side by side."""
    scoring: Scoring
    bos: Bos
    """Where the tokenizer's BOS token stands: nowhere, at the start of the text, at the start of every window."""
    windows: int
    tokens_scored: int
    bytes: int | None
    """UTF-8 bytes of exactly the scored tokens' text; None when the tokenizer cannot say."""
    dtype: str
    """Arithmetic of the models; statistics are float32 over the vocabulary and float64 over tokens."""


class Perplexity(_Frozen):
    """Mean negative log-likelihood in nats and what follows from it. Standard errors treat tokens as independent, as llama.cpp's do."""

    ppl: float
    ppl_se: float
    nll_mean: float
    nll_se: float
    bits_per_byte: float | None
    tokens: int


class Divergence(_Frozen):
    """How far a model's predictions are from a reference's on the same tokens, in nats.

    `kl_*`: KL divergence Σ p_ref (ln p_ref - ln p) of each token. `top1_agreement`: share of tokens where both
    find the same token most likely. `ln_ppl_ratio`: mean of the paired differences of negative log-likelihood. Standard errors as of `Perplexity`.
    """

    tokens: int
    ppl: float
    ppl_ref: float
    ppl_ratio: float
    ln_ppl_ratio: float
    ln_ppl_ratio_se: float
    kl_mean: float
    kl_se: float
    kl_max: float
    kl_percentiles: dict[str, float]
    """Percentile ("99.9") to KL divergence."""
    top1_agreement: float
    top1_se: float


class EvaluateResult(_Frozen):
    """Result of `llmopt evaluate`. Figures of the comparison are None without a reference."""

    model: str
    reference: str | None
    ppl: float
    ppl_se: float
    nll_mean: float
    nll_se: float
    bits_per_byte: float | None
    tokens: int
    """Scored tokens."""
    ppl_ref: float | None = None
    ppl_ratio: float | None = None
    ln_ppl_ratio: float | None = None
    ln_ppl_ratio_se: float | None = None
    kl_mean: float | None = None
    kl_se: float | None = None
    kl_max: float | None = None
    kl_percentiles: dict[str, float] | None = None
    top1_agreement: float | None = None
    top1_se: float | None = None
    seconds: float
    peak_rss_bytes: int
    evaluation: Convention
    warnings: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, int | float]:
        """The figures that were measured, flat, as every capability's result has them."""
        not_figures = {"model", "reference", "kl_percentiles", "evaluation", "warnings"}
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in not_figures}
        return {name: value for name, value in values.items() if value is not None}

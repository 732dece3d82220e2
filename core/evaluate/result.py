"""What an evaluation found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, computed_field

from core.evaluate.spec import Scoring
from core.result import Figure, Figures, PeakMemory, Result, Seconds

Bos = Literal["none", "text", "window"]

Ppl = Annotated[float, Figure("perplexity", "", "lower", "ppl_se")]
PplError = Annotated[float, Figure("perplexity, standard error")]
Nll = Annotated[float, Figure("negative log-likelihood", "nat", "lower", "nll_se")]
NllError = Annotated[float, Figure("negative log-likelihood, standard error", "nat")]
LnPplRatio = Annotated[float, Figure("log of the perplexity ratio", "", "lower", "ln_ppl_ratio_se")]
LnPplRatioError = Annotated[float, Figure("log of the perplexity ratio, standard error")]
PplRatio = Annotated[float, Figure("perplexity ratio", "", "lower")]
BitsPerByte = Annotated[float, Figure("bits per byte", "", "lower")]
Kl = Annotated[float, Figure("KL divergence", "nat", "lower", "kl_se")]
KlError = Annotated[float, Figure("KL divergence, standard error", "nat")]
KlMax = Annotated[float, Figure("largest KL divergence of a token", "nat", "lower")]
Top1 = Annotated[float, Figure("top-1 agreement", "share", "higher", "top1_se")]
Top1Error = Annotated[float, Figure("top-1 agreement, standard error", "share")]

PERCENTILES = (0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


class Convention(Figures):
    """How a perplexity was measured: figures under different conventions are not comparable."""

    corpus: str
    sha256: str
    """Of the corpus' whole text in UTF-8."""
    context: int
    stride: int
    """Equal to `context` when windows stand side by side."""
    scoring: Scoring
    bos: Bos
    """Where the tokenizer's BOS token is: nowhere, at the start of the text, at the start of every window."""
    windows: int
    tokens_scored: int
    bytes: int | None
    """UTF-8 bytes of exactly the scored tokens' text; None when the tokenizer cannot say."""
    dtype: str
    """Arithmetic of the models; statistics are float32 over the vocabulary and float64 over tokens."""


class Perplexity(Figures):
    """Mean negative log-likelihood in nats and what follows from it. Standard errors are those of blocks of 64 tokens."""

    ppl: Ppl
    ppl_se: PplError
    nll_mean: Nll
    nll_se: NllError
    bits_per_byte: BitsPerByte | None
    tokens: Annotated[int, Figure("tokens")]


class Divergence(Figures):
    """How far a model's predictions are from a reference's on the same tokens, in nats.

    `kl_*`: KL divergence Σ p_ref (ln p_ref - ln p) of each token. `top1_agreement`: share of tokens where both
    find the same token most likely. `ln_ppl_ratio`: mean of the paired differences of negative log-likelihood. Standard errors as of `Perplexity`.
    """

    tokens: Annotated[int, Figure("tokens")]
    ppl: Ppl
    ppl_ref: Annotated[float, Figure("perplexity of the reference")]
    ppl_ratio: PplRatio
    ln_ppl_ratio: LnPplRatio
    ln_ppl_ratio_se: LnPplRatioError
    kl_mean: Kl
    kl_se: KlError
    kl_max: KlMax
    kl_percentiles: dict[str, float]
    """Percentile ("99.9") to KL divergence."""
    top1_agreement: Top1
    top1_se: Top1Error


class EvaluateResult(Result):
    """Result of `llmopt evaluate`. Figures of the comparison are None without a reference."""

    schema_: str = Field("llmopt.evaluate/1", alias="schema")
    capability: Literal["evaluate"] = "evaluate"
    model: str
    reference: str | None
    ppl: Ppl
    ppl_se: PplError
    nll_mean: Nll
    nll_se: NllError
    bits_per_byte: BitsPerByte | None
    tokens: Annotated[int, Figure("tokens")]
    """Scored tokens."""
    ppl_ref: Annotated[float | None, Figure("perplexity of the reference")] = None
    ppl_ratio: PplRatio | None = None
    ln_ppl_ratio: LnPplRatio | None = None
    ln_ppl_ratio_se: LnPplRatioError | None = None
    kl_mean: Kl | None = None
    kl_se: KlError | None = None
    kl_max: KlMax | None = None
    kl_percentiles: dict[str, float] | None = None
    top1_agreement: Top1 | None = None
    top1_se: Top1Error | None = None
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    evaluation: Convention
    warnings: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, int | float]:
        """The figures that were measured, flat, as every capability's result has them."""
        values = {name: getattr(self, name) for name in type(self).model_fields if name in type(self).figure_table()}
        return {name: value for name, value in values.items() if value is not None}

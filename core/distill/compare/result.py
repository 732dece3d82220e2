"""What a comparison of distillations found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.distill.result import GapClosed, GapClosedError
from core.evaluate.result import Convention, Kl, KlError, LnPplRatioError, Ppl, PplRatio, Top1, Top1Error
from core.result import Figure, Figures, PeakMemory, Result, Seconds


class DistillRow(Figures):
    """One way to train the student."""

    name: str
    """As a run of the same request names its recipe: `forward-kl-100`."""
    title: str
    objective: str
    ppl: Ppl
    ppl_ratio: PplRatio
    ln_ppl_ratio_se: LnPplRatioError
    kl_mean: Kl
    kl_se: KlError
    top1_agreement: Top1
    top1_se: Top1Error
    gap_closed: GapClosed | None = None
    gap_closed_se: GapClosedError | None = None
    over_text: Annotated[float | None, Figure("ln perplexity below that of text alone", "", "higher", "over_text_se")] = None
    """Paired over the same tokens; None for the row of text alone."""
    over_text_se: Annotated[float | None, Figure("ln perplexity below that of text alone, standard error")] = None
    best_step: Annotated[int, Figure("best step")]
    train_tokens_per_second: Annotated[float, Figure("training tokens per second", "", "higher")]
    seconds: Seconds
    """To train; without evaluation."""


class DistillCompareResult(Result):
    """Result of the comparison."""

    schema_: str = Field("llmopt.distill-compare/1", alias="schema")
    capability: Literal["distill-compare"] = "distill-compare"
    model: str
    """The teacher."""
    student: str
    parameters_teacher: Annotated[int, Figure("parameters of the teacher")]
    parameters: Annotated[int, Figure("parameters", "", "lower")]
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    """Of the student's weight files."""
    bits_per_weight: Annotated[float, Figure("bits per weight of the teacher", "", "lower")]
    ppl_teacher: Annotated[float, Figure("perplexity of the teacher", "", "lower")]
    ppl_untrained: Annotated[float, Figure("perplexity of the untrained student", "", "lower")]
    kl_untrained: Annotated[float, Figure("KL divergence of the untrained student", "nat", "lower")]
    tokens: Annotated[int, Figure("tokens learned from")]
    """By each."""
    rows: tuple[DistillRow, ...]
    evaluation: Convention
    train_text: str
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    notes: tuple[str, ...] = ()

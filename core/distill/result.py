"""What a distillation gained and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.distill.events import Place
from core.evaluate.result import Convention, Kl, KlError, LnPplRatio, LnPplRatioError, PplRatio, Top1, Top1Error
from core.result import Figure, Figures, PeakMemory, Result, Seconds

GapClosed = Annotated[float, Figure("gap closed", "share", "higher", "gap_closed_se")]
GapClosedError = Annotated[float, Figure("gap closed, standard error", "share")]


class DistillMetrics(Figures):
    """The figures that every compression is compared by, and those of distillation; None where it was not measured."""

    ppl_teacher: Annotated[float | None, Figure("perplexity of the teacher", "", "lower")] = None
    ppl_untrained: Annotated[float | None, Figure("perplexity of the untrained student", "", "lower")] = None
    ppl_after: Annotated[float | None, Figure("perplexity after", "", "lower")] = None
    ppl_ratio: PplRatio | None = None
    ln_ppl_ratio: LnPplRatio | None = None
    ln_ppl_ratio_se: LnPplRatioError | None = None
    kl_untrained: Annotated[float | None, Figure("KL divergence of the untrained student", "nat", "lower")] = None
    kl_mean: Kl | None = None
    kl_se: KlError | None = None
    top1_untrained: Annotated[float | None, Figure("top-1 agreement of the untrained student", "share", "higher")] = None
    top1_agreement: Top1 | None = None
    top1_se: Top1Error | None = None
    gap_closed: GapClosed | None = None
    """Of the difference in ln perplexity between untrained student and teacher."""
    gap_closed_se: GapClosedError | None = None
    bytes_teacher: Annotated[int, Figure("size of the teacher", "byte")]
    """Of the weight files."""
    bytes_after: Annotated[int, Figure("size after", "byte", "lower")]
    bits_per_weight: Annotated[float, Figure("bits per weight of the teacher", "", "lower")]
    """8 x stored bytes / parameters of the teacher, so that distilled, cut and quantized models share an axis."""
    parameters_teacher: Annotated[int, Figure("parameters of the teacher")]
    parameters_after: Annotated[int, Figure("parameters after", "", "lower")]
    parameters_ratio: Annotated[float, Figure("parameters, share of the teacher's", "share", "lower")]
    best_step: Annotated[int, Figure("best step")]
    """0: no step was better than the untrained student."""
    steps: Annotated[int, Figure("steps taken")]
    tokens: Annotated[int, Figure("tokens learned from")]
    train_tokens_per_second: Annotated[float, Figure("training tokens per second", "", "higher")]
    """Median over the steps of the run's last start."""
    seconds: Seconds
    seconds_training: Annotated[float, Figure("time to train", "second", "lower")]
    seconds_evaluating: Annotated[float, Figure("time to evaluate", "second")]
    peak_rss_bytes: PeakMemory


class HeldOutFigures(Figures):
    """The student on held-out training text."""

    step: int
    """Finished steps; 0: untrained."""
    kl: Annotated[float, Figure("held-out KL divergence", "nat", "lower")]
    kl_se: float
    top1: Annotated[float, Figure("held-out top-1 agreement", "share", "higher")]
    top1_se: float
    nll: float
    gap_closed: float | None = None
    gap_closed_se: float | None = None


class DistillResult(Result):
    """Result of `llmopt distill`."""

    figures: ClassVar[Mapping[str, Figure]] = {
        "distill_loss": Figure("loss of the distillation", "nat", "lower"),
        "held_out_kl": Figure("held-out KL divergence", "nat", "lower"),
        "held_out_top1": Figure("held-out top-1 agreement", "share", "higher"),
        "held_out_seconds": Figure("time of a held-out evaluation", "second"),
    }
    schema_: str = Field("llmopt.distill/1", alias="schema")
    capability: Literal["distill"] = "distill"
    model: str
    """The teacher."""
    student: str
    """What was trained, in words."""
    objective: str
    """The loss in short."""
    out: str
    """Folder of the checkpoint."""
    train_text: str
    """Corpus and number of tokens."""
    metrics: DistillMetrics
    loss: dict[str, float] = Field(default_factory=dict)
    """Terms of the loss at the last step, in nats."""
    held_out: tuple[HeldOutFigures, ...]
    """After each step at which it was measured, the untrained student first."""
    places: tuple[Place, ...] = ()
    """Where the student still differs from its teacher, largest divergence first."""
    evaluation: Convention | None
    notes: tuple[str, ...] = ()

"""What a comparison of prunings found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.evaluate.result import Convention, Kl, KlError, LnPplRatioError, Ppl, PplRatio, Top1, Top1Error
from core.prune.result import Sparsity
from core.prune.spec import MethodName
from core.result import Figure, Figures, PeakMemory, Result, Seconds


class PruneRow(Figures):
    """One pruning."""

    name: str
    """As a run of the same request names its checkpoint: `wanda-2of4`."""
    title: str
    """`wanda keep 2 of 4`."""
    method: MethodName
    sparsity: Sparsity
    """Of masks: zeros among the weights of the pruned linears; of cuts: removed parameters."""
    parameters: Annotated[int, Figure("parameters", "", "lower")]
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    """Of the weight files."""
    bits_per_weight: Annotated[float, Figure("bits per original weight", "", "lower")]
    ppl: Ppl
    ppl_ratio: PplRatio
    ln_ppl_ratio_se: LnPplRatioError
    kl_mean: Kl
    kl_se: KlError
    top1_agreement: Top1
    top1_se: Top1Error
    decode_speedup: Annotated[float | None, Figure("decode speed-up", "", "higher", "decode_speedup_se")] = None
    decode_speedup_se: Annotated[float | None, Figure("decode speed-up, standard error")] = None
    prefill_speedup: Annotated[float | None, Figure("prefill speed-up", "", "higher", "prefill_speedup_se")] = None
    prefill_speedup_se: Annotated[float | None, Figure("prefill speed-up, standard error")] = None
    seconds: Seconds
    """To prune; without evaluation."""


class PruneCompareResult(Result):
    """Result of the comparison."""

    schema_: str = Field("llmopt.prune-compare/1", alias="schema")
    capability: Literal["prune-compare"] = "prune-compare"
    model: str
    parameters: int
    bytes_before: Annotated[int, Figure("size before", "byte")]
    ppl_before: Annotated[float, Figure("perplexity before", "", "lower", "ppl_before_se")]
    ppl_before_se: Annotated[float, Figure("perplexity before, standard error")]
    rows: tuple[PruneRow, ...]
    evaluation: Convention
    calibration: str
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    notes: tuple[str, ...] = ()
    """What was left out and why, and notes of the rows."""

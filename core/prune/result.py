"""What a pruning did, cost and gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.evaluate.result import Convention, Kl, KlError, LnPplRatio, LnPplRatioError, PplRatio, Top1, Top1Error
from core.prune.spec import MethodName
from core.result import Figure, Figures, PeakMemory, Result, Seconds

Axis = Literal["channels", "KV groups", "query heads per group", "hidden width", "layers"]

Sparsity = Annotated[float, Figure("sparsity", "share")]


class PruneMetrics(Figures):
    """The figures that every compression is compared by, and those of pruning; None where it was not measured."""

    ppl_before: Annotated[float | None, Figure("perplexity before", "", "lower")] = None
    ppl_after: Annotated[float | None, Figure("perplexity after", "", "lower")] = None
    ppl_ratio: PplRatio | None = None
    ln_ppl_ratio: LnPplRatio | None = None
    ln_ppl_ratio_se: LnPplRatioError | None = None
    kl_mean: Kl | None = None
    kl_se: KlError | None = None
    top1_agreement: Top1 | None = None
    top1_se: Top1Error | None = None
    ppl_unrecovered: Annotated[float | None, Figure("perplexity before recovery", "", "lower")] = None
    kl_unrecovered: Annotated[float | None, Figure("KL divergence before recovery", "nat", "lower")] = None
    bytes_before: Annotated[int, Figure("size before", "byte")]
    """Of the weight files."""
    bytes_after: Annotated[int, Figure("size after", "byte", "lower")]
    bits_per_weight: Annotated[float, Figure("bits per original weight", "", "lower")]
    """8 x stored bytes / parameters of the original, so that cut and quantized models share an axis."""
    sparsity: Sparsity
    """Share of zeros among the weights of the pruned linears; of the removed parameters where the model was cut."""
    parameters_before: Annotated[int, Figure("parameters before")]
    parameters_after: Annotated[int, Figure("parameters after", "", "lower")]
    """Zeros that are stored count as parameters."""
    layer_error_mean: Annotated[float | None, Figure("mean relative error of a linear", "", "lower")] = None
    """Mean over the linears of `layers[].error`; None where none was changed."""
    tokens_per_second_before: Annotated[float | None, Figure("decoded tokens per second before", "", "higher")] = None
    tokens_per_second_after: Annotated[float | None, Figure("decoded tokens per second after", "", "higher")] = None
    decode_speedup: Annotated[float | None, Figure("decode speed-up", "", "higher", "decode_speedup_se")] = None
    """Median over pairs of decodes, original and result in turns."""
    decode_speedup_se: Annotated[float | None, Figure("decode speed-up, standard error")] = None
    prefill_seconds_before: Annotated[float | None, Figure("prefill time before", "second", "lower")] = None
    prefill_seconds_after: Annotated[float | None, Figure("prefill time after", "second", "lower")] = None
    prefill_speedup: Annotated[float | None, Figure("prefill speed-up", "", "higher", "prefill_speedup_se")] = None
    prefill_speedup_se: Annotated[float | None, Figure("prefill speed-up, standard error")] = None
    speedup_estimate: Annotated[float | None, Figure("decode speed-up, estimate", "", "higher")] = None
    """Not measured: weights read per token before, over those after; of masks on hardware that skips zeros, m/n."""
    sparse_kernel_speedup: Annotated[float | None, Figure("2:4 kernel speed-up", "", "higher")] = None
    """Of torch's semi-structured product against the dense one, on CUDA at the shapes that it takes; None elsewhere."""
    seconds: Seconds
    seconds_pruning: Annotated[float, Figure("time to prune", "second", "lower")]
    seconds_recovering: Annotated[float | None, Figure("time to recover", "second")] = None
    seconds_evaluating: Annotated[float, Figure("time to evaluate", "second")]
    peak_rss_bytes: PeakMemory


class LinearFigures(Figures):
    """One linear that lost weights, or inputs."""

    name: str
    block: int
    rows: int
    """Outputs of the original."""
    columns: int
    """Inputs of the original."""
    removed: int
    """Weights that are zero or gone."""
    sparsity: Sparsity
    error: float
    """Relative error of its outputs on the calibration inputs, or of its weights when none were read."""
    error_before: float | None = None
    """The same before swaps, refit or compensation; None without them."""
    swaps: int | None = None
    """Exchanges of a kept and a removed weight."""


class ImportanceFigures(Figures):
    """Scores of what could be removed from one block along one axis."""

    block: int
    """-1 where the axis runs through the whole model."""
    axis: Axis
    size: int
    """Of the axis in the original."""
    kept: int
    """Of the axis in the result."""
    kept_share: Annotated[float, Figure("importance kept", "share", "higher")]
    """Sum of the kept scores over that of all."""
    scores: tuple[float, ...] = ()
    """By index; larger is more important. Empty for axes longer than 512."""
    removed: tuple[int, ...] = ()
    """Indices, ascending. Empty for axes longer than 512."""


class BlockScore(Figures):
    """One decoder block by every measure of redundancy; the measures are of the original model."""

    block: int
    kl: Annotated[float | None, Figure("KL divergence without the block", "nat", "higher")] = None
    """Exact: of the model without this block alone, on calibration text."""
    ppl_ratio: Annotated[float | None, Figure("perplexity ratio without the block", "", "higher")] = None
    influence: Annotated[float | None, Figure("block influence", "", "higher")] = None
    """1 - mean cosine of the hidden states before and after it (arXiv 2403.03853)."""
    angular: Annotated[float | None, Figure("angular distance", "", "higher")] = None
    """(1/π) arccos of the cosine of the last token before it and after the run of removed size that starts at it (arXiv 2403.17887)."""
    removed: bool = False
    step: int | None = None
    """The greedy choice, from 1, that removed it."""
    kl_at_removal: float | None = None
    """KL divergence on calibration text once it was removed too."""


class ScoreAgreement(Figures):
    """How far a cheap measure ranks blocks as the measured KL divergence does."""

    measure: str
    spearman: float


class KeptFigures(Figures):
    """An axis of the model that became shorter."""

    axis: Axis
    before: int
    after: int
    lost: tuple[str, ...] = ()
    """What the new size rules out: `K-quants (multiples of 256)`."""


class PruneResult(Result):
    """Result of `llmopt prune`."""

    figures: ClassVar[Mapping[str, Figure]] = {
        "linear_error": Figure("relative error of the output", "", "lower"),
        "linear_sparsity": Figure("sparsity of a linear", "share"),
        "block_kl": Figure("KL divergence without the block", "nat", "higher"),
        "recovery_loss": Figure("loss of the recovery", "nat", "lower"),
    }
    schema_: str = Field("llmopt.prune/1", alias="schema")
    capability: Literal["prune"] = "prune"
    model: str
    method: MethodName
    criterion: str | None = None
    """Score that decided; None where the method is the score."""
    pattern: str
    """`50 %`, `keep 2 of 4`, `-3 layers`."""
    description: str
    """What was removed, in words."""
    out: str
    """Folder of the checkpoint."""
    calibration: str | None
    """Corpus and number of tokens; None when the method uses none."""
    error_of: Literal["outputs", "weights"]
    """What `linears[].error` compares."""
    metrics: PruneMetrics
    evaluation: Convention | None
    linears: tuple[LinearFigures, ...] = ()
    kept: tuple[KeptFigures, ...] = ()
    importance: tuple[ImportanceFigures, ...] = ()
    blocks: tuple[BlockScore, ...] = ()
    agreement: tuple[ScoreAgreement, ...] = ()
    speed_note: str = ""
    """A plain sentence on what the removal brings in speed, from the measurement."""
    notes: tuple[str, ...] = ()

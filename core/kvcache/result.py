"""What a comparison of cache schemes found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, computed_field

from core.evaluate.result import Convention, Kl, KlError, LnPplRatio, LnPplRatioError, Ppl, PplError, PplRatio, Top1, Top1Error
from core.result import Figure, Figures, PeakMemory, Result, Seconds

Path = Literal["fused", "module"]
"""The fused forward pass of Llama-like models, or transformers' modules."""


class NeedleFigure(Figures):
    """Retrieval at one depth, as `NeedleConvention.definition` says."""

    depth: int
    """Percent of the text before the needle."""
    trials: int
    hits: int
    hit_rate: float
    likeliest_rate: float
    """Share of trials in which the value is the likeliest of the whole vocabulary."""
    gain: float
    """Mean log-probability of the value, less the same in the text without the needle; nat."""


class KvRow(Figures):
    """One scheme on one head variant. Figures are None where the scheme was refused, and say nothing then."""

    name: str
    """The scheme, or the head variant where it is not the model's own, which has the full cache."""
    scheme: str
    title: str
    heads: str
    """`mha`, `mqa` or `gqa-N`."""
    own_heads: bool
    """Whether the model was trained with these heads."""
    refused: str | None = None
    """Why the model cannot have the scheme."""
    lossless: bool
    """By construction: the outputs are the full cache's to rounding."""
    evicts: bool
    path: Path | None = None
    """What computed the timed steps."""
    tokens: Annotated[int | None, Figure("tokens")] = None
    """Tokens of a sequence when the bytes were counted."""
    sequences: int | None = None
    bytes_held: Annotated[int | None, Figure("bytes held", "byte", "lower")] = None
    """Of the real tensors: codes, scales, zero points, indices; of all sequences."""
    bytes_formula: Annotated[int | None, Figure("bytes by formula", "byte")] = None
    bytes_on_device: int | None = None
    """Of them, bytes on the device that computes: all but what is offloaded to main memory."""
    bytes_per_token: Annotated[float | None, Figure("bytes per token", "", "lower")] = None
    """`bytes_held` over tokens and sequences."""
    bits_per_value: Annotated[float | None, Figure("bits a value", "", "lower")] = None
    """Of a key or value of the whole text; evicted ones count with nothing."""
    compression: Annotated[float | None, Figure("times smaller", "", "higher")] = None
    """Bytes of the full cache over these."""
    ttft_ms: Annotated[float | None, Figure("time to first token", "ms", "lower")] = None
    """Median time of the prompt, first new token included."""
    tpot_ms: Annotated[float | None, Figure("time per token", "ms", "lower")] = None
    """Median time of a single-token step."""
    tpot_reference_ms: Annotated[float | None, Figure("time per token of the full cache", "ms")] = None
    """The same of the full cache, in turns with this scheme."""
    tpot_ratio: Annotated[float | None, Figure("time per token to the full cache", "", "lower")] = None
    ppl: Ppl | None = None
    ppl_se: PplError | None = None
    ppl_ratio: PplRatio | None = None
    """To the full cache of the model as it is."""
    ln_ppl_ratio: LnPplRatio | None = None
    ln_ppl_ratio_se: LnPplRatioError | None = None
    """Paired, token by token."""
    kl_mean: Kl | None = None
    kl_se: KlError | None = None
    top1_agreement: Top1 | None = None
    top1_se: Top1Error | None = None
    needle_rate: Annotated[float | None, Figure("needles found", "share", "higher")] = None
    """Share of all trials that hit."""
    """By chance, `NeedleConvention.chance` of them would."""
    needle_gain: Annotated[float | None, Figure("gain by the needle", "nat", "higher")] = None
    needle: tuple[NeedleFigure, ...] = ()
    seconds: Seconds = 0.0


class ChartPoint(Figures):
    """One scheme in the chart of memory against quality."""

    name: str
    title: str
    bytes_per_token: Annotated[float, Figure("bytes per token", "", "lower")]
    ppl_ratio: PplRatio
    low: float
    """Of the ratio's 95 % interval."""
    high: float
    on_front: bool
    """No other row is both smaller and better."""


class NeedleConvention(Figures):
    """How retrieval was measured."""

    definition: str
    tokens: Annotated[int, Figure("tokens")]
    """Of a whole text."""
    fed: int
    """Last tokens of a text that are given one by one, through the cache."""
    candidates: int
    chance: float
    """Hit rate of a guess."""


class KvCacheResult(Result):
    """Result of `llmopt kv-cache`."""

    schema_: str = Field("llmopt.kv-cache/1", alias="schema")
    capability: Literal["kv-cache"] = "kv-cache"
    model: str
    reference: str
    """Scheme that the others are compared with."""
    parameters: int
    context: int
    prompt: int
    """Tokens that are given at once before the scored and before the timed ones."""
    steps: int
    """Timed steps of a repeat."""
    repeats: int
    threads: int
    device: str
    dtype: str
    rows: tuple[KvRow, ...]
    chart: tuple[ChartPoint, ...]
    evaluation: Convention
    needle: NeedleConvention | None = None
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Figures of each row by its name, for comparisons of runs."""
        return {row.name: {name: value for name in COMPARED if (value := getattr(row, name)) is not None} for row in self.rows if row.refused is None}


COMPARED = ("bytes_held", "bytes_per_token", "ppl", "ppl_ratio", "kl_mean", "top1_agreement", "needle_rate", "ttft_ms", "tpot_ms")
"""Figures of a row that are compared with those of another run."""

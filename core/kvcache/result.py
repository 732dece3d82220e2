"""What a comparison of cache schemes found."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from core import __version__
from core.evaluate.result import Convention

Path = Literal["fused", "module"]
"""The fused forward pass of Llama-like models, or transformers' modules."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class NeedleFigure(_Frozen):
    """Retrieval at one depth, as `NeedleConvention.definition` says."""

    depth: int
    """Percent of the text that stands before the needle."""
    trials: int
    hits: int
    hit_rate: float
    likeliest_rate: float
    """Share of trials in which the value is the likeliest of the whole vocabulary."""
    gain: float
    """Mean log-probability of the value, less the same in the text without the needle; nat."""


class KvRow(_Frozen):
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
    tokens: int | None = None
    """Tokens of a sequence when the bytes were counted."""
    sequences: int | None = None
    bytes_held: int | None = None
    """Of the real tensors: codes, scales, zero points, indices; of all sequences."""
    bytes_formula: int | None = None
    bytes_on_device: int | None = None
    """Of them, bytes on the device that computes: all but what is offloaded to main memory."""
    bytes_per_token: float | None = None
    """`bytes_held` over tokens and sequences."""
    bits_per_value: float | None = None
    """Of a key or value of the whole text; evicted ones count with nothing."""
    compression: float | None = None
    """Bytes of the full cache over these."""
    ttft_ms: float | None = None
    """Median time of the prompt, first new token included."""
    tpot_ms: float | None = None
    """Median time of a single-token step."""
    tpot_reference_ms: float | None = None
    """The same of the full cache, in turns with this scheme."""
    tpot_ratio: float | None = None
    ppl: float | None = None
    ppl_se: float | None = None
    ppl_ratio: float | None = None
    """To the full cache of the model as it is."""
    ln_ppl_ratio: float | None = None
    ln_ppl_ratio_se: float | None = None
    """Paired, token by token."""
    kl_mean: float | None = None
    kl_se: float | None = None
    top1_agreement: float | None = None
    top1_se: float | None = None
    needle_rate: float | None = None
    """Share of all trials that hit."""
    """By chance, `NeedleConvention.chance` of them would."""
    needle_gain: float | None = None
    needle: tuple[NeedleFigure, ...] = ()
    seconds: float = 0.0


class ChartPoint(_Frozen):
    """One scheme in the chart of memory against quality."""

    name: str
    title: str
    bytes_per_token: float
    ppl_ratio: float
    low: float
    """Of the ratio's 95 % interval."""
    high: float
    on_front: bool
    """No other row is both smaller and better."""


class NeedleConvention(_Frozen):
    """How retrieval was measured."""

    definition: str
    tokens: int
    """Of a whole text."""
    fed: int
    """Last tokens of a text that are given one by one, through the cache."""
    candidates: int
    chance: float
    """Hit rate of a guess."""


class KvCacheResult(_Frozen):
    """Result of `llmopt kv-cache`."""

    schema_: str = Field("llmopt.kv-cache/1", alias="schema")
    llmopt_version: str = __version__
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
    seconds: float
    peak_rss_bytes: int
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _metrics_follow(cls, values: Any) -> Any:
        """`metrics` of a saved result is computed again."""
        return {name: value for name, value in values.items() if name != "metrics"} if isinstance(values, dict) else values

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Figures of each row by its name, for comparisons of runs."""
        return {row.name: {name: value for name in COMPARED if (value := getattr(row, name)) is not None} for row in self.rows if row.refused is None}


COMPARED = (
    "bytes_held",
    "bytes_per_token",
    "ppl",
    "ppl_ratio",
    "kl_mean",
    "top1_agreement",
    "needle_rate",
    "ttft_ms",
    "tpot_ms",
)
"""Figures of a row that are set beside those of another run."""

"""What a comparison of quantizations found."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core import __version__
from core.evaluate.result import Convention
from core.quantize.plan.request import Granularity
from core.quantize.spec import Method


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class CompareRow(_Frozen):
    """One quantization. Errors are means over the linears, each against its original on the same calibration inputs."""

    name: str
    title: str
    method: Method
    bits: int
    granularity: Granularity
    group_size: int | None
    fp8_format: Literal["e4m3", "e5m2"] | None = None
    """Which 8-bit float; None for integers and NF4."""
    activation_bits: int = 16
    """8: inputs were rounded too, which shows in perplexity and divergence and not in the errors of weights and outputs."""
    bytes: int
    """Of all tensors: packed codes, scales, zero points, and what stays in full precision."""
    ratio: float
    """Bytes of the original over `bytes`."""
    bits_per_weight: float
    bits_per_quantized_weight: float
    mean_error: float
    """Mean absolute difference of a weight."""
    max_error: float | None = None
    """Largest absolute difference of a weight of any linear; None in results of versions that did not measure it."""
    relative_error: float
    """Frobenius norm of the difference over that of the weight."""
    output_error: float
    """Norm of the difference of a linear's outputs over the norm of the outputs."""
    output_cosine: float
    """Cosine of the angle between a linear's outputs before and after."""
    ppl: float
    ppl_ratio: float
    kl_mean: float
    kl_se: float
    top1_agreement: float
    top1_se: float
    seconds: float
    """To quantize; without evaluation."""


class Histogram(_Frozen):
    """How the weights of one linear are spread, and on which values a 4-bit group grid leaves them."""

    linear: str
    edges: tuple[float, ...]
    """One more than there are counts."""
    original: tuple[int, ...]
    dequantized: tuple[int, ...]
    dequantized_title: str


class ScatterSeries(_Frozen):
    """Dequantized values of the sampled weights in one quantization."""

    title: str
    values: tuple[float, ...]


class Scatter(_Frozen):
    """Original against dequantized, for some weights of one linear."""

    linear: str
    original: tuple[float, ...]
    dequantized: tuple[ScatterSeries, ...]


class GranularityErrors(_Frozen):
    """Relative error of the weights of each linear with one scale a channel and with one scale a tensor."""

    bits: int
    linears: tuple[str, ...]
    channel: tuple[float, ...]
    tensor: tuple[float, ...]


class MemoryBar(_Frozen):
    """Where the bytes of one checkpoint go."""

    title: str
    codes: int
    scales: int
    """Scales and zero points."""
    kept: int
    """Embeddings, norms, head: whatever stays in full precision."""


class Charts(_Frozen):
    """Data of the four charts."""

    histogram: Histogram
    scatter: Scatter
    granularity: GranularityErrors
    memory: tuple[MemoryBar, ...]


class QuantizeCompareResult(_Frozen):
    """Result of the comparison."""

    schema_: str = Field("llmopt.quantize-compare/1", alias="schema")
    llmopt_version: str = __version__
    capability: Literal["quantize-compare"] = "quantize-compare"
    set: Literal["integers", "floats"] = "integers"
    """What was compared."""
    model: str
    parameters: int
    bytes_before: int
    ppl_before: float
    ppl_before_se: float
    rows: tuple[CompareRow, ...]
    charts: Charts
    evaluation: Convention
    calibration: str
    seconds: float
    peak_rss_bytes: int
    notes: tuple[str, ...] = ()

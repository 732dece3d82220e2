"""What a comparison of quantizations found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.evaluate.result import Convention, Kl, KlError, Ppl, PplRatio, Top1, Top1Error
from core.quantize.plan.request import Granularity
from core.quantize.spec import MethodName
from core.result import Figure, Figures, PeakMemory, Result, Seconds


class CompareRow(Figures):
    """One quantization. Errors are means over the linears, each against its original on the same calibration inputs."""

    name: str
    title: str
    method: MethodName
    bits: int
    granularity: Granularity
    group_size: int | None
    fp8_format: Literal["e4m3", "e5m2"] | None = None
    """Which 8-bit float; None for integers and NF4."""
    activation_bits: int = 16
    """8: inputs were rounded too, which shows in perplexity and divergence and not in the errors of weights and outputs."""
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    """Of all tensors: packed codes, scales, zero points, and what stays in full precision."""
    ratio: Annotated[float, Figure("times smaller", "", "higher")]
    """Bytes of the original over `bytes`."""
    bits_per_weight: Annotated[float, Figure("bits per weight", "", "lower")]
    bits_per_quantized_weight: Annotated[float, Figure("bits per quantized weight", "", "lower")]
    mean_error: Annotated[float, Figure("mean error of a weight", "", "lower")]
    """Mean absolute difference of a weight."""
    max_error: float | None = None
    """Largest absolute difference of a weight of any linear; None in results of versions that did not measure it."""
    relative_error: Annotated[float, Figure("relative error of the weights", "", "lower")]
    """Frobenius norm of the difference over that of the weight."""
    output_error: Annotated[float, Figure("relative error of the outputs", "", "lower")]
    """Norm of the difference of a linear's outputs over the norm of the outputs."""
    output_cosine: Annotated[float, Figure("cosine of the outputs", "", "higher")]
    """Cosine of the angle between a linear's outputs before and after."""
    ppl: Ppl
    ppl_ratio: PplRatio
    kl_mean: Kl
    kl_se: KlError
    top1_agreement: Top1
    top1_se: Top1Error
    seconds: Seconds
    """To quantize; without evaluation."""


class Histogram(Figures):
    """How the weights of one linear are spread, and on which values a 4-bit group grid leaves them."""

    linear: str
    edges: tuple[float, ...]
    """One more than there are counts."""
    original: tuple[int, ...]
    dequantized: tuple[int, ...]
    dequantized_title: str


class ScatterSeries(Figures):
    """Dequantized values of the sampled weights in one quantization."""

    title: str
    values: tuple[float, ...]


class Scatter(Figures):
    """Original against dequantized, for some weights of one linear."""

    linear: str
    original: tuple[float, ...]
    dequantized: tuple[ScatterSeries, ...]


class GranularityErrors(Figures):
    """Relative error of the weights of each linear with one scale a channel and with one scale a tensor."""

    bits: int
    linears: tuple[str, ...]
    channel: tuple[float, ...]
    tensor: tuple[float, ...]


class MemoryBar(Figures):
    """Where the bytes of one checkpoint go."""

    title: str
    codes: int
    scales: int
    """Scales and zero points."""
    kept: int
    """Embeddings, norms, head: whatever stays in full precision."""


class Charts(Figures):
    """Data of the four charts."""

    histogram: Histogram
    scatter: Scatter
    granularity: GranularityErrors
    memory: tuple[MemoryBar, ...]


class QuantizeCompareResult(Result):
    """Result of the comparison."""

    schema_: str = Field("llmopt.quantize-compare/1", alias="schema")
    capability: Literal["quantize-compare"] = "quantize-compare"
    set: Literal["integers", "floats"] = "integers"
    """What was compared."""
    model: str
    parameters: int
    bytes_before: Annotated[int, Figure("size before", "byte")]
    ppl_before: Annotated[float, Figure("perplexity before", "", "lower", "ppl_before_se")]
    ppl_before_se: Annotated[float, Figure("perplexity before, standard error")]
    rows: tuple[CompareRow, ...]
    charts: Charts
    evaluation: Convention
    calibration: str
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    notes: tuple[str, ...] = ()

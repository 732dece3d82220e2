"""What a quantization did and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from core.evaluate.result import Convention, Kl, KlError, LnPplRatio, LnPplRatioError, PplRatio, Top1, Top1Error
from core.quantize.plan.request import Granularity
from core.quantize.spec import MethodName
from core.result import Figure, Figures, PeakMemory, Result, Seconds


class QuantizeMetrics(Figures):
    """The figures that every compression is compared by; None where it was not measured."""

    ppl_before: Annotated[float | None, Figure("perplexity before", "", "lower", "ppl_before_se")] = None
    ppl_after: Annotated[float | None, Figure("perplexity after", "", "lower")] = None
    ppl_ratio: PplRatio | None = None
    ln_ppl_ratio: LnPplRatio | None = None
    ln_ppl_ratio_se: LnPplRatioError | None = None
    kl_mean: Kl | None = None
    kl_se: KlError | None = None
    top1_agreement: Top1 | None = None
    top1_se: Top1Error | None = None
    bytes_before: Annotated[int, Figure("size before", "byte")]
    """Of the weight files."""
    bytes_after: Annotated[int, Figure("size after", "byte", "lower")]
    bits_per_weight: Annotated[float, Figure("bits per weight", "", "lower")]
    """8 x stored bytes / parameters: scales, zero points and what stayed in full precision counted."""
    bits_per_quantized_weight: Annotated[float, Figure("bits per quantized weight", "", "lower")]
    """Of the quantized linears alone, scales and zero points counted."""
    sparsity: Annotated[float | None, Figure("sparsity", "share")] = None
    """Share of the quantized weights that were zero and still are; None where the model was not pruned."""
    layer_error_mean: Annotated[float, Figure("mean relative error of a linear", "", "lower")]
    """Mean over the linears of `layers[].error`."""
    seconds: Seconds
    seconds_quantizing: Annotated[float, Figure("time to quantize", "second", "lower")]
    seconds_evaluating: Annotated[float, Figure("time to evaluate", "second")]
    peak_rss_bytes: PeakMemory


class LayerFigures(Figures):
    """One linear."""

    name: str
    error: float
    """Relative error of its outputs on the calibration inputs, or of its weights when the method uses none."""
    weight_error: float
    """Frobenius norm of the difference over that of the weight."""
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    rows: int
    columns: int
    bits: int | None = None
    """Of a weight's code, scales left out; None in results of versions that did not state it."""
    zeros: int | None = None
    """Weights that were exactly zero before; None in results of versions that did not count them."""
    zeros_kept: int | None = None
    """Those of them that still are."""


class SensitivityFigures(Figures):
    """One linear at one width."""

    linear: str
    shares: str
    """The first linear that reads the same input, perhaps this one."""
    bits: int
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    weights: int
    kl: float
    """Divergence from the original, in nats per token, of the model with this linear alone rounded; on calibration text."""


class MixedFigures(Figures):
    """What mixed precision measured and chose."""

    sensitivities: tuple[SensitivityFigures, ...]
    widths: dict[str, int]
    """Bits by linear."""
    predicted_kl: float
    """Sum of the chosen linears' divergences."""
    measured_kl: float | None
    """Divergence of the whole on the same calibration text, where a goal of divergence asked for it."""
    exact: bool
    """Whether no other assignment has a smaller sum within the limit."""
    conditions: str
    """Hash of all that the sensitivities depend on but the widths; runs with the same one share them."""


class QuantizeResult(Result):
    """Result of `llmopt quantize`."""

    figures: ClassVar[Mapping[str, Figure]] = {
        "sensitivity_kl": Figure("KL divergence by one linear alone", "nat", "lower"),
        "assigned_bits": Figure("bits assigned"),
        "layer_error": Figure("relative error of the output", "", "lower"),
    }
    schema_: str = Field("llmopt.quantize/1", alias="schema")
    capability: Literal["quantize"] = "quantize"
    model: str
    method: MethodName
    bits: int
    granularity: Granularity
    group_size: int | None
    symmetric: bool
    format: str
    """Checkpoint format: compressed-tensors, gptq, awq, bitsandbytes, aqlm, gguf."""
    scheme: str = ""
    """The kind of storage inside the format, for example pack-quantized."""
    description: str = ""
    """The grid in words."""
    out: str
    """Folder of the checkpoint."""
    parameters: int
    calibration: str | None
    """Corpus and number of tokens; None when the method uses none."""
    error_of: Literal["outputs", "weights"]
    """What `layers[].error` compares."""
    metrics: QuantizeMetrics
    evaluation: Convention | None
    layers: tuple[LayerFigures, ...]
    mixed: MixedFigures | None = None
    """Of method mixed."""
    notes: tuple[str, ...] = ()

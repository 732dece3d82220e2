"""What a quantization did and cost."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core import __version__
from core.evaluate.result import Convention
from core.quantize.plan.request import Granularity
from core.quantize.spec import Method


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class QuantizeMetrics(_Frozen):
    """The figures that every compression is compared by; None where it was not measured."""

    ppl_before: float | None = None
    ppl_after: float | None = None
    ppl_ratio: float | None = None
    ln_ppl_ratio: float | None = None
    ln_ppl_ratio_se: float | None = None
    kl_mean: float | None = None
    kl_se: float | None = None
    top1_agreement: float | None = None
    top1_se: float | None = None
    bytes_before: int
    """Of the weight files."""
    bytes_after: int
    bits_per_weight: float
    """8 x stored bytes / parameters: scales, zero points and what stayed in full precision counted."""
    bits_per_quantized_weight: float
    """Of the quantized linears alone, scales and zero points counted."""
    layer_error_mean: float
    """Mean over the linears of `layers[].error`."""
    seconds: float
    seconds_quantizing: float
    seconds_evaluating: float
    peak_rss_bytes: int


class LayerFigures(_Frozen):
    """One linear."""

    name: str
    error: float
    """Relative error of its outputs on the calibration inputs, or of its weights when the method uses none."""
    weight_error: float
    """Frobenius norm of the difference over that of the weight."""
    bytes: int
    rows: int
    columns: int


class SensitivityFigures(_Frozen):
    """One linear at one width."""

    linear: str
    shares: str
    """The first linear that reads the same input, perhaps this one."""
    bits: int
    bytes: int
    weights: int
    kl: float
    """Divergence from the original, in nats a token, of the model with this linear alone rounded; on calibration text."""


class MixedFigures(_Frozen):
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


class QuantizeResult(_Frozen):
    """Result of `llmopt quantize`."""

    schema_: str = Field("llmopt.quantize/1", alias="schema")
    llmopt_version: str = __version__
    capability: Literal["quantize"] = "quantize"
    model: str
    method: Method
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

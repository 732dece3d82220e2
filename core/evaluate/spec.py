"""What can be asked of `llmopt evaluate`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from core.spec import Dtype, Spec, option

Scoring = Literal["all-targets", "llama.cpp"]
Streaming = Literal["auto", "on", "off"]
Engine = Literal["torch", "llama.cpp"]
Kernels = Literal["dequantized", "packed"]


class EvaluateSpec(Spec):
    """Measure a model's perplexity, and its divergence from a reference model."""

    capability: ClassVar[str] = "evaluate"

    reference: Annotated[str | None, option("Reference model, for KL divergence, top-1 agreement and perplexity ratio")] = None
    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file", min_length=1)] = "builtin"
    context: Annotated[int, option("Context window in tokens", "token", ge=8, le=1048576)] = 512
    stride: Annotated[int | None, option("Step between overlapping windows; default: the context, so that windows are disjoint", "token", ge=1)] = (
        None
    )
    tokens: Annotated[int, option("Tokens of the text to evaluate on", "token", ge=8, le=2**31)] = 16384
    scoring: Annotated[Scoring, option("Scored targets: all of a window, or llama.cpp's second half of windows that start with BOS")] = "all-targets"
    dtype: Annotated[Dtype, option("Dtype of the model; auto: float32 on a CPU, the checkpoint's on a GPU")] = "auto"
    streaming: Annotated[
        Streaming, option("Hold one decoder block at a time instead of the whole model; auto: if the model would not fit in memory")
    ] = "auto"

    engine: Annotated[Engine, option("Engine that runs the model: torch on dequantized weights, or llama.cpp on a GGUF file as stored")] = "torch"

    kernels: Annotated[
        Kernels, option("How quantized weights are multiplied: dequantized first (the reference), or packed as stored, by torch's kernels")
    ] = "dequantized"

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.tokens < self.context:
            raise ValueError(f"tokens {self.tokens} do not fill one window of context {self.context}: raise --tokens or lower --context")
        if self.stride is not None and self.stride > self.context:
            raise ValueError(f"stride {self.stride} would skip text between windows of context {self.context}: lower --stride")
        if self.scoring == "llama.cpp" and self.stride not in {None, self.context}:
            raise ValueError("llama.cpp's scoring uses disjoint windows: leave --stride out")
        if self.kernels == "packed" and (self.engine == "llama.cpp" or self.streaming == "on"):
            raise ValueError("packed weights need the whole model in memory and torch: omit --engine and --streaming, or give --kernels dequantized")
        return self

"""What can be asked of the comparison of quantizations. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from core.quantize.spec import Clipping, Granularity, Method, QuantizeSpec
from core.spec import Spec, unit


@dataclass(frozen=True)
class Variant:
    """One quantization of the comparison."""

    method: Method
    bits: int
    granularity: Granularity

    @property
    def name(self) -> str:
        """Short name, for example `gptq-w4-group`."""
        return f"{self.method}-w{self.bits}-{self.granularity}"

    def title(self, group_size: int) -> str:
        """For a person, for example `INT4 g128 GPTQ`."""
        shares = {"group": f"g{group_size}", "channel": "per channel", "tensor": "per tensor"}[self.granularity]
        return f"INT{self.bits} {shares} {self.method.upper()}"


VARIANTS = (
    Variant("rtn", 8, "tensor"),
    Variant("rtn", 8, "channel"),
    Variant("rtn", 4, "channel"),
    Variant("rtn", 4, "group"),
    Variant("gptq", 4, "group"),
    Variant("rtn", 3, "group"),
    Variant("gptq", 3, "group"),
)


class QuantizeCompareSpec(Spec):
    """Quantize one model in several ways and compare size, errors, perplexity and divergence; no checkpoint is kept."""

    capability: ClassVar[str] = "quantize-compare"

    group_size: Annotated[int, Field(description="Weights of a row that share a scale", ge=8, le=65536, json_schema_extra=unit("weight"))] = 128
    symmetric: Annotated[bool, Field(description="Grids symmetric around zero; otherwise each scale has a zero point")] = True
    clipping: Annotated[Clipping, Field(description="Range of the grids: the largest magnitude, or the range with the least squared error")] = (
        "absmax"
    )
    linear: Annotated[str | None, Field(description="Linear whose weights the histogram and the scatter show; default: the first")] = None
    calibration: Annotated[str, Field(description="Calibration text: builtin or a UTF-8 file")] = "builtin"
    calibration_samples: Annotated[int, Field(description="Calibration sequences", ge=1, le=65536, json_schema_extra=unit("sequence"))] = 32
    calibration_length: Annotated[int, Field(description="Tokens of a calibration sequence", ge=8, le=131072, json_schema_extra=unit("token"))] = 512
    text: Annotated[str, Field(description="Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, Field(description="Evaluation window", ge=8, le=1048576, json_schema_extra=unit("token"))] = 512
    eval_tokens: Annotated[int, Field(description="Tokens to evaluate on", ge=8, le=2**31, json_schema_extra=unit("token"))] = 16384

    @model_validator(mode="after")
    def _tokens_fill_a_window(self) -> Self:
        if self.eval_tokens < self.context:
            raise ValueError(f"eval-tokens {self.eval_tokens} do not fill one window of context {self.context}: raise eval-tokens or lower context")
        return self

    def of(self, variant: Variant) -> QuantizeSpec:
        """The request that one variant amounts to."""
        shared = self.model_dump(exclude={"linear"})
        return QuantizeSpec(**shared, method=variant.method, bits=variant.bits, granularity=variant.granularity)

"""What can be asked of the comparison of quantizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from core.quantize.plan.request import Clipping, Granularity
from core.quantize.spec import INTEGER, MethodName, QuantizeSpec
from core.spec import Spec, option, require_window

VariantSet = Literal["integers", "floats"]


@dataclass(frozen=True)
class Variant:
    """One quantization of a comparison."""

    method: MethodName
    bits: int
    granularity: Granularity
    fp8_format: Literal["e4m3", "e5m2"] | None = None
    """Which 8-bit float; None for integers and NF4."""
    activation_bits: Literal[8, 16] = 16

    @property
    def name(self) -> str:
        """Short name, for example `gptq-w4-group` or `fp8-e4m3-channel`."""
        width = f"w{self.bits}" if self.fp8_format is None else self.fp8_format
        return f"{self.method}-{width}{'a8' if self.activation_bits == 8 else ''}-{self.granularity}"

    def title(self, group_size: int) -> str:
        """For a user, for example `INT4 g128 GPTQ` or `FP8 E4M3 per channel`."""
        shares = {"group": f"g{group_size}", "channel": "per channel", "tensor": "per tensor", "block": "blocks"}[self.granularity]
        inputs = " + inputs" if self.activation_bits == 8 else ""
        if self.method == "nf4":
            return "NF4 b64"
        if self.fp8_format is not None:
            return f"FP8 {self.fp8_format.upper()} {shares}{inputs}"
        return f"INT{self.bits} {shares} {self.method.upper()}{inputs}"


@dataclass(frozen=True)
class Pictures:
    """Which variants the charts of a comparison draw."""

    histogram: Variant
    scatter: tuple[Variant, ...]
    per_tensor: Variant
    per_channel: Variant


VARIANTS = (
    Variant("rtn", 8, "tensor"),
    Variant("rtn", 8, "channel"),
    Variant("rtn", 4, "channel"),
    Variant("rtn", 4, "group"),
    Variant("gptq", 4, "group"),
    Variant("rtn", 3, "group"),
    Variant("gptq", 3, "group"),
)
"""Of the set `integers`."""

FLOATS = (
    Variant("fp8", 8, "tensor", "e4m3"),
    Variant("fp8", 8, "channel", "e4m3"),
    Variant("fp8", 8, "channel", "e4m3", activation_bits=8),
    Variant("fp8", 8, "channel", "e5m2"),
    Variant("rtn", 8, "channel"),
    Variant("rtn", 8, "channel", activation_bits=8),
    Variant("rtn", 4, "channel"),
    Variant("rtn", 4, "group"),
    Variant("nf4", 4, "block"),
)
"""Of the set `floats`: 8-bit floats next to integers of 8 and 4 bits."""

SETS: dict[VariantSet, tuple[Variant, ...]] = {"integers": VARIANTS, "floats": FLOATS}
PICTURES: dict[VariantSet, Pictures] = {
    "integers": Pictures(VARIANTS[3], (VARIANTS[1], VARIANTS[2], VARIANTS[3], VARIANTS[5]), VARIANTS[0], VARIANTS[1]),
    "floats": Pictures(FLOATS[3], (FLOATS[1], FLOATS[3], FLOATS[4], FLOATS[6]), FLOATS[0], FLOATS[1]),
}


class QuantizeCompareSpec(Spec):
    """Quantize one model in several ways and compare size, errors, perplexity and divergence; no checkpoint is kept."""

    capability: ClassVar[str] = "quantize-compare"

    set: Annotated[VariantSet, option("Quantizations to compare: integers of 8 to 3 bits, or 8-bit floats against integers")] = "integers"
    group_size: Annotated[int, option("Weights per scale", "weight", ge=8, le=65536)] = 128
    symmetric: Annotated[bool, option("Grids symmetric around zero; otherwise each scale has a zero point")] = True
    clipping: Annotated[Clipping, option("Range of the grids: the largest magnitude, or the range with the least squared error")] = "absmax"
    linear: Annotated[str | None, option("Linear shown in the histogram and the scatter plot; default: the first")] = None
    calibration: Annotated[str, option("Calibration text: builtin or a UTF-8 file")] = "builtin"
    calibration_samples: Annotated[int, option("Calibration sequences", "sequence", ge=1, le=65536)] = 32
    calibration_length: Annotated[int, option("Tokens per calibration sequence", "token", ge=8, le=131072)] = 512
    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, option("Evaluation window", "token", ge=8, le=1048576)] = 512
    eval_tokens: Annotated[int, option("Tokens to evaluate on", "token", ge=8, le=2**31)] = 16384

    @model_validator(mode="after")
    def _tokens_fill_a_window(self) -> Self:
        require_window(self.eval_tokens, self.context)
        return self

    def summary(self) -> str:
        """The same for all of them."""
        return "comparison of methods"

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What is compared."""
        return SETS[self.set]

    def of(self, variant: Variant) -> QuantizeSpec:
        """The request that one variant amounts to; for E5M2, which no checkpoint format holds, that for E4M3, which takes as many bytes."""
        shared = self.model_dump(exclude={"linear", "set"})
        if variant.method not in INTEGER:
            shared = {name: value for name, value in shared.items() if name not in ("group_size", "symmetric", "clipping")}
        if variant.activation_bits == 8:
            shared["symmetric"] = True
        chosen = {name: getattr(variant, name) for name in ("method", "bits", "granularity", "activation_bits")}
        return QuantizeSpec(**(shared | chosen))

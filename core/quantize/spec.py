"""What can be asked of `llmopt quantize`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.spec import Spec, applies, unit

Method = Literal["rtn", "gptq"]
Granularity = Literal["group", "channel", "tensor"]
Clipping = Literal["absmax", "mse"]
Format = Literal["compressed-tensors"]


class QuantizeSpec(Spec):
    """Quantize the linears of every decoder block, measure the cost, write a checkpoint."""

    capability: ClassVar[str] = "quantize"

    method: Annotated[Method, Field(description="Method: rtn rounds to nearest, gptq corrects each rounding by second-order information")] = "gptq"
    bits: Annotated[int, Field(description="Bits of a weight", ge=2, le=8, json_schema_extra=unit("bit"))] = 4
    granularity: Annotated[Granularity, Field(description="What shares a scale: a group of a row, an output channel, the whole matrix")] = "group"
    group_size: Annotated[
        int, Field(description="Weights of a row that share a scale", ge=8, le=65536, json_schema_extra=applies("weight", granularity=("group",)))
    ] = 128
    symmetric: Annotated[bool, Field(description="Grid symmetric around zero; otherwise each scale has a zero point")] = True
    clipping: Annotated[Clipping, Field(description="Range of the grid: the largest magnitude, or the range with the least squared error")] = "absmax"
    act_order: Annotated[
        bool, Field(description="gptq: quantize columns with the largest activations first", json_schema_extra=applies(method=("gptq",)))
    ] = False
    static_groups: Annotated[
        bool,
        Field(description="gptq with act-order: keep groups contiguous in the file", json_schema_extra=applies(method=("gptq",), act_order=(True,))),
    ] = True
    damp: Annotated[
        float,
        Field(description="gptq: damping as a share of the Hessian's mean diagonal", gt=0, le=1, json_schema_extra=applies("1", method=("gptq",))),
    ] = 0.01
    activation_bits: Annotated[
        Literal[8, 16],
        Field(description="8: W8A8, activations quantized per token at run time (needs 8-bit channels)", json_schema_extra=unit("bit")),
    ] = 16
    calibration: Annotated[str, Field(description="Calibration text: builtin or a UTF-8 file", json_schema_extra=applies(method=("gptq",)))] = (
        "builtin"
    )
    calibration_samples: Annotated[
        int, Field(description="Calibration sequences", ge=1, le=65536, json_schema_extra=applies("sequence", method=("gptq",)))
    ] = 64
    calibration_length: Annotated[
        int, Field(description="Tokens of a calibration sequence", ge=8, le=131072, json_schema_extra=applies("token", method=("gptq",)))
    ] = 512
    text: Annotated[str, Field(description="Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, Field(description="Evaluation window", ge=8, le=1048576, json_schema_extra=unit("token"))] = 512
    eval_tokens: Annotated[
        int, Field(description="Tokens to evaluate on; 0 skips the evaluation", ge=0, le=2**31, json_schema_extra=unit("token"))
    ] = 16384
    format: Annotated[Format, Field(description="Checkpoint format")] = "compressed-tensors"
    out: Annotated[str | None, Field(description="Folder to write the checkpoint to; default: the run's artifacts folder")] = None

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.activation_bits == 8 and (self.bits != 8 or self.granularity != "channel" or not self.symmetric):
            raise ValueError("activation-bits 8 needs bits 8, granularity channel and a symmetric grid: engines have no other W8A8 kernel")
        if self.act_order and self.method != "gptq":
            raise ValueError("act-order is an order of gptq: choose method gptq, or leave act-order out")
        if self.act_order and not self.static_groups and self.granularity == "group":
            raise ValueError("compressed-tensors has no place for groups that follow act-order: keep static-groups, or choose granularity channel")
        if 0 < self.eval_tokens < self.context:
            raise ValueError(f"eval-tokens {self.eval_tokens} do not fill one window of context {self.context}: raise eval-tokens or lower context")
        return self

"""What can be asked of `llmopt quantize`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.formats.gguf.blocks import Level
from core.quantize.plan.methods import FACTS, fill, refusal
from core.quantize.plan.sections import SECTIONS
from core.spec import Spec, applies, unit

Method = Literal["rtn", "gptq", "awq", "smoothquant", "fp8", "nf4", "int8", "additive", "qat", "mixed", "gguf"]
Granularity = Literal["group", "channel", "tensor", "block"]
Clipping = Literal["absmax", "mse"]
Format = Literal["compressed-tensors", "gptq", "awq", "bitsandbytes", "aqlm", "gguf"]

INTEGER = ("rtn", "gptq", "awq", "qat")
"""Methods whose result is an integer grid of the width that is asked for."""
CALIBRATION = (*(name for name, facts in FACTS.items() if facts.calibrated), "fp8", "gguf")
"""Methods that read calibration text, always or when asked to."""


class QuantizeSpec(Spec):
    """Quantize the linears of every decoder block, measure the cost, write a checkpoint."""

    capability: ClassVar[str] = "quantize"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = SECTIONS

    method: Annotated[Method, Field(description="How to quantize")] = "gptq"
    bits: Annotated[int, Field(description="Bits of a weight", ge=2, le=8, json_schema_extra=applies("bit", method=INTEGER))] = 4
    granularity: Annotated[
        Granularity,
        Field(
            description="What shares a scale: a group of a row, an output channel, the whole matrix, a block",
            json_schema_extra=applies(method=(*INTEGER, "fp8", "mixed")),
        ),
    ] = "group"
    group_size: Annotated[
        int,
        Field(description="Weights that share a scale", ge=8, le=65536, json_schema_extra=applies("weight", granularity=("group", "block"))),
    ] = 128
    symmetric: Annotated[
        bool,
        Field(description="Grid symmetric around zero; otherwise each scale has a zero point", json_schema_extra=applies(method=(*INTEGER, "mixed"))),
    ] = True
    clipping: Annotated[
        Clipping,
        Field(
            description="Range of the grid: the largest magnitude, or the range with the least squared error",
            json_schema_extra=applies(method=(*INTEGER, "mixed", "smoothquant")),
        ),
    ] = "absmax"
    act_order: Annotated[
        bool, Field(description="gptq: quantize columns with the largest activations first", json_schema_extra=applies(method=("gptq",)))
    ] = False
    static_groups: Annotated[
        bool,
        Field(description="gptq with act-order: keep groups contiguous in the file", json_schema_extra=applies(method=("gptq",), act_order=(True,))),
    ] = True
    damp: Annotated[
        float,
        Field(
            description="gptq, additive: damping as a share of the Hessian's mean diagonal",
            gt=0,
            le=1,
            json_schema_extra=applies("1", method=("gptq", "mixed", "additive")),
        ),
    ] = 0.01
    alpha: Annotated[
        float | None,
        Field(
            description="smoothquant: share of the difficulty that moves to the weights; searched when not given",
            ge=0,
            le=1,
            json_schema_extra=applies("1", method=("smoothquant",)),
        ),
    ] = None
    activation_bits: Annotated[
        Literal[8, 16],
        Field(
            description="8: activations are rounded too, at run time (integers need 8-bit channels)",
            json_schema_extra=applies("bit", method=("rtn", "gptq", "fp8")),
        ),
    ] = 16
    activation_scales: Annotated[
        Literal["dynamic", "static"],
        Field(
            description="Scales of rounded activations: one a token at run time, or one found by calibration",
            json_schema_extra=applies(method=("rtn", "gptq", "smoothquant", "fp8"), activation_bits=(8,)),
        ),
    ] = "dynamic"
    fp8_format: Annotated[
        Literal["e4m3", "e5m2"],
        Field(description="fp8: e4m3 has finer steps, e5m2 a wider range", json_schema_extra=applies(method=("fp8",))),
    ] = "e4m3"
    double_quant: Annotated[bool, Field(description="nf4: round the scales of blocks too", json_schema_extra=applies(method=("nf4",)))] = True
    codebooks: Annotated[
        int | None,
        Field(
            description="additive: codebooks that are summed; chosen by the model's matrices when not given",
            ge=1,
            le=8,
            json_schema_extra=applies("1", method=("additive",)),
        ),
    ] = None
    codebook_bits: Annotated[
        int | None,
        Field(
            description="additive: bits of a code; chosen by the model's matrices when not given",
            ge=2,
            le=16,
            json_schema_extra=applies("bit", method=("additive",)),
        ),
    ] = None
    codebook_vector: Annotated[
        int | None,
        Field(
            description="additive: neighbouring weights of a row that one code stands for; chosen by the model's matrices when not given",
            ge=1,
            le=64,
            json_schema_extra=applies("weight", method=("additive",)),
        ),
    ] = None
    codebook_rows: Annotated[
        int | None,
        Field(
            description="additive: neighbouring rows that share a code; 1, which AQLM's kernels take, unless the codebooks would weigh too much",
            ge=1,
            le=64,
            json_schema_extra=applies("1", method=("additive",)),
        ),
    ] = None
    train_steps: Annotated[
        int, Field(description="qat: steps of training", ge=1, le=1_000_000, json_schema_extra=applies("step", method=("qat",)))
    ] = 300
    learning_rate: Annotated[
        float,
        Field(
            description="qat: highest learning rate of a weight, as a share of the grid's step",
            gt=0,
            le=1,
            json_schema_extra=applies("1", method=("qat",)),
        ),
    ] = 0.015
    budget: Annotated[
        float | None,
        Field(
            description="mixed: bits a quantized weight may take on average, scales counted; 4.25 unless max-kl is given",
            gt=0,
            le=16,
            json_schema_extra=applies("bit", method=("mixed",)),
        ),
    ] = None
    max_kl: Annotated[
        float | None,
        Field(
            description="mixed: divergence on calibration text that must not be passed; the size is then made least",
            gt=0,
            le=10,
            json_schema_extra=applies("nat", method=("mixed",)),
        ),
    ] = None
    widths: Annotated[
        tuple[int, ...],
        Field(description="mixed: widths to choose from", min_length=1, max_length=7, json_schema_extra=applies("bit", method=("mixed",))),
    ] = (2, 3, 4, 6, 8)
    level: Annotated[Level, Field(description="gguf: type of the file's weights", json_schema_extra=applies(method=("gguf",)))] = "Q4_K_M"
    imatrix: Annotated[
        bool, Field(description="gguf: weigh errors by an importance matrix from calibration text", json_schema_extra=applies(method=("gguf",)))
    ] = False
    calibration: Annotated[str, Field(description="Calibration text: builtin or a UTF-8 file", json_schema_extra=applies(method=CALIBRATION))] = (
        "builtin"
    )
    calibration_samples: Annotated[
        int, Field(description="Calibration sequences", ge=1, le=65536, json_schema_extra=applies("sequence", method=CALIBRATION))
    ] = 64
    calibration_length: Annotated[
        int, Field(description="Tokens of a calibration sequence", ge=8, le=131072, json_schema_extra=applies("token", method=CALIBRATION))
    ] = 512
    text: Annotated[str, Field(description="Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, Field(description="Evaluation window", ge=8, le=1048576, json_schema_extra=unit("token"))] = 512
    eval_tokens: Annotated[
        int, Field(description="Tokens to evaluate on; 0 skips the evaluation", ge=0, le=2**31, json_schema_extra=unit("token"))
    ] = 16384
    format: Annotated[Format, Field(description="Checkpoint format; default: the one that the method's results are usually kept in")] = (
        "compressed-tensors"
    )
    out: Annotated[str | None, Field(description="Folder to write the checkpoint to; default: the run's artifacts folder")] = None

    @model_validator(mode="before")
    @classmethod
    def _method_fills_in(cls, values: Any) -> Any:
        return fill(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        facts = FACTS[self.method]
        if self.bits not in facts.bits:
            raise ValueError(f"{self.method} works with {_either(facts.bits)} bits, not {self.bits}")
        if self.granularity not in facts.granularities:
            raise ValueError(f"{self.method} has no granularity {self.granularity}: choose {_either(facts.granularities)}")
        if self.activation_bits not in facts.activation_bits:
            raise ValueError(
                f"{self.method} cannot have {self.activation_bits}-bit activations: choose activation-bits {_either(facts.activation_bits)}"
            )
        if not self.symmetric and not facts.asymmetric:
            raise ValueError(f"{self.method} has no zero points: leave symmetric as it is")
        if self.format not in facts.formats:
            raise ValueError(f"format {self.format} cannot hold what {self.method} makes: choose {_either(facts.formats)}")
        refused = refusal(self.format, self.model_dump())
        if refused is not None:
            raise ValueError(refused)
        integers = self.method in ("rtn", "gptq")
        if integers and self.activation_bits == 8 and (self.bits != 8 or self.granularity != "channel" or not self.symmetric):
            raise ValueError("activation-bits 8 needs bits 8, granularity channel and a symmetric grid: engines have no other W8A8 kernel")
        if self.activation_scales == "static" and self.activation_bits == 16:
            raise ValueError("activation-scales static needs activation-bits 8: 16-bit activations are not rounded")
        if self.act_order and self.method != "gptq":
            raise ValueError("act-order is an order of gptq: choose method gptq, or leave act-order out")
        if self.act_order and not self.static_groups and self.granularity == "group" and self.format != "gptq":
            raise ValueError(
                f"{self.format} has no place for groups that follow act-order: keep static-groups, or choose format gptq or granularity channel"
            )
        if self.budget is not None and self.max_kl is not None:
            raise ValueError("budget and max-kl are two different goals: give one of them")
        if not set(self.widths) <= set(FACTS["mixed"].bits) or len(set(self.widths)) < len(self.widths):
            raise ValueError("widths are different whole numbers from 2 to 8")
        if 0 < self.eval_tokens < self.context:
            raise ValueError(f"eval-tokens {self.eval_tokens} do not fill one window of context {self.context}: raise eval-tokens or lower context")
        return self

    @property
    def calibrates(self) -> bool:
        """Whether calibration text is read."""
        if self.method == "gguf":
            return self.imatrix
        if self.method in ("rtn", "fp8"):
            return self.activation_bits == 8 and self.activation_scales == "static"
        return FACTS[self.method].calibrated


def _either(values: tuple[object, ...]) -> str:
    *others, last = (str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last

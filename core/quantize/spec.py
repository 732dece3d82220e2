"""What can be asked of `llmopt quantize`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.formats.gguf.blocks import Level
from core.models.card import ModelCard
from core.quantize.methods import METHODS, using
from core.quantize.plan.integers import WIDTHS
from core.quantize.plan.request import Clipping, Float8, Granularity, Inputs, Request
from core.quantize.plan.sections import SECTIONS
from core.spec import Spec, applies, unit

if TYPE_CHECKING:
    Method = str
    Format = str
else:
    Method = Literal[tuple(METHODS)]
    Format = Literal[tuple(dict.fromkeys(name for method in METHODS.values() for name in method.formats))]

INTEGER = using("bits")
"""Methods whose result is an integer grid of the width that is asked for."""
CALIBRATION = tuple(method.name for when in ("yes", "if asked") for method in METHODS.values() if method.calibration == when)
"""Methods that read calibration text, always or when asked to."""


class QuantizeSpec(Spec):
    """Quantize the linears of every decoder block, measure the cost, write a checkpoint."""

    capability: ClassVar[str] = "quantize"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = SECTIONS

    method: Annotated[Method, Field(description="How to quantize")] = "gptq"
    bits: Annotated[int, Field(description="Bits of a weight", ge=2, le=8, json_schema_extra=applies("bit", method=using("bits")))] = 4
    granularity: Annotated[
        Granularity,
        Field(
            description="What shares a scale: a group of a row, an output channel, the whole matrix, a block",
            json_schema_extra=applies(method=using("granularity")),
        ),
    ] = "group"
    group_size: Annotated[
        int,
        Field(description="Weights that share a scale", ge=8, le=65536, json_schema_extra=applies("weight", granularity=("group", "block"))),
    ] = 128
    symmetric: Annotated[
        bool,
        Field(description="Grid symmetric around zero; otherwise each scale has a zero point", json_schema_extra=applies(method=using("symmetric"))),
    ] = True
    clipping: Annotated[
        Clipping,
        Field(
            description="Range of the grid: the largest magnitude, or the range with the least squared error",
            json_schema_extra=applies(method=using("clipping")),
        ),
    ] = "absmax"
    act_order: Annotated[
        bool, Field(description="gptq: quantize columns with the largest activations first", json_schema_extra=applies(method=using("act_order")))
    ] = False
    static_groups: Annotated[
        bool,
        Field(
            description="gptq with act-order: keep groups contiguous in the file",
            json_schema_extra=applies(method=using("static_groups"), act_order=(True,)),
        ),
    ] = True
    damp: Annotated[
        float,
        Field(
            description="gptq, additive: damping as a share of the Hessian's mean diagonal",
            gt=0,
            le=1,
            json_schema_extra=applies("1", method=using("damp")),
        ),
    ] = 0.01
    alpha: Annotated[
        float | None,
        Field(
            description="smoothquant: share of the difficulty that moves to the weights; searched when not given",
            ge=0,
            le=1,
            json_schema_extra=applies("1", method=using("alpha")),
        ),
    ] = None
    activation_bits: Annotated[
        Literal[8, 16],
        Field(
            description="8: activations are rounded too, at run time (integers need 8-bit channels)",
            json_schema_extra=applies("bit", method=using("activation_bits")),
        ),
    ] = 16
    activation_scales: Annotated[
        Inputs,
        Field(
            description="Scales of rounded activations: one a token at run time, or one found by calibration",
            json_schema_extra=applies(method=using("activation_scales"), activation_bits=(8,)),
        ),
    ] = "dynamic"
    fp8_format: Annotated[
        Float8,
        Field(description="fp8: e4m3 has finer steps, e5m2 a wider range", json_schema_extra=applies(method=using("fp8_format"))),
    ] = "e4m3"
    double_quant: Annotated[
        bool, Field(description="nf4: round the scales of blocks too", json_schema_extra=applies(method=using("double_quant")))
    ] = True
    codebooks: Annotated[
        int | None,
        Field(
            description="additive: codebooks that are summed; chosen by the model's matrices when not given",
            ge=1,
            le=8,
            json_schema_extra=applies("1", method=using("codebooks")),
        ),
    ] = None
    codebook_bits: Annotated[
        int | None,
        Field(
            description="additive: bits of a code; chosen by the model's matrices when not given",
            ge=2,
            le=16,
            json_schema_extra=applies("bit", method=using("codebook_bits")),
        ),
    ] = None
    codebook_vector: Annotated[
        int | None,
        Field(
            description="additive: neighbouring weights of a row that one code stands for; chosen by the model's matrices when not given",
            ge=1,
            le=64,
            json_schema_extra=applies("weight", method=using("codebook_vector")),
        ),
    ] = None
    codebook_rows: Annotated[
        int | None,
        Field(
            description="additive: neighbouring rows that share a code; 1, which AQLM's kernels take, unless the codebooks would weigh too much",
            ge=1,
            le=64,
            json_schema_extra=applies("1", method=using("codebook_rows")),
        ),
    ] = None
    train_steps: Annotated[
        int, Field(description="qat: steps of training", ge=1, le=1_000_000, json_schema_extra=applies("step", method=using("train_steps")))
    ] = 300
    learning_rate: Annotated[
        float,
        Field(
            description="qat: highest learning rate of a weight, as a share of the grid's step",
            gt=0,
            le=1,
            json_schema_extra=applies("1", method=using("learning_rate")),
        ),
    ] = 0.015
    budget: Annotated[
        float | None,
        Field(
            description="mixed: bits a quantized weight may take on average, scales counted; 4.25 unless max-kl is given",
            gt=0,
            le=16,
            json_schema_extra=applies("bit", method=using("budget")),
        ),
    ] = None
    max_kl: Annotated[
        float | None,
        Field(
            description="mixed: divergence on calibration text that must not be passed; the size is then made least",
            gt=0,
            le=10,
            json_schema_extra=applies("nat", method=using("max_kl")),
        ),
    ] = None
    widths: Annotated[
        tuple[int, ...],
        Field(description="mixed: widths to choose from", min_length=1, max_length=7, json_schema_extra=applies("bit", method=using("widths"))),
    ] = (2, 3, 4, 6, 8)
    level: Annotated[Level, Field(description="gguf: type of the file's weights", json_schema_extra=applies(method=using("level")))] = "Q4_K_M"
    imatrix: Annotated[
        bool,
        Field(description="gguf: weigh errors by an importance matrix from calibration text", json_schema_extra=applies(method=using("imatrix"))),
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
        method, request = METHODS[self.method], self.request
        if self.bits not in method.widths:
            raise ValueError(f"{self.method} works with {_either(method.widths)} bits, not {self.bits}")
        if self.granularity not in method.granularities:
            raise ValueError(f"{self.method} has no granularity {self.granularity}: choose {_either(method.granularities)}")
        if self.activation_bits not in method.activation_bits:
            raise ValueError(
                f"{self.method} cannot have {self.activation_bits}-bit activations: choose activation-bits {_either(method.activation_bits)}"
            )
        if not self.symmetric and not method.zero_points:
            raise ValueError(f"{self.method} has no zero points: leave symmetric as it is")
        if self.format not in method.formats:
            raise ValueError(f"format {self.format} cannot hold what {self.method} makes: choose {_either(method.formats)}")
        refused = method.unstorable(request) or method.refusal(request)
        if refused is not None:
            raise ValueError(refused)
        if self.activation_scales == "static" and self.activation_bits == 16:
            raise ValueError("activation-scales static needs activation-bits 8: 16-bit activations are not rounded")
        if self.act_order and "act_order" not in method.fields:
            raise ValueError("act-order is an order of gptq: choose method gptq, or leave act-order out")
        if self.budget is not None and self.max_kl is not None:
            raise ValueError("budget and max-kl are two different goals: give one of them")
        if not set(self.widths) <= set(WIDTHS) or len(set(self.widths)) < len(self.widths):
            raise ValueError("widths are different whole numbers from 2 to 8")
        if 0 < self.eval_tokens < self.context:
            raise ValueError(f"eval-tokens {self.eval_tokens} do not fill one window of context {self.context}: raise eval-tokens or lower context")
        return self

    @property
    def request(self) -> Request:
        """What methods look at."""
        return Request(**{name: getattr(self, name) for name in _LOOKED_AT})

    @property
    def calibrates(self) -> bool:
        """Whether calibration text is read."""
        return METHODS[self.method].calibrates(self.request)

    def settled(self, card: ModelCard) -> QuantizeSpec:
        """The request with all stated that depends on the model and was not given.

        Raises:
            RequestError: what was given does not fit the model.
        """
        return self.model_copy(update=METHODS[self.method].settled(self.request, card))


_LOOKED_AT = tuple(one.name for one in fields(Request))


def fill(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a request with those of the method put in where none were given."""
    given = {name: value for name, value in values.items() if value is not None or name != "format"}
    method = METHODS.get(str(given.get("method", "gptq")))
    if method is None:
        return given
    filled = {**method.defaults, **given}
    if given.get("activation_scales") == "static" and 8 in method.activation_bits:
        filled.setdefault("activation_bits", 8)
    if "format" not in filled:
        held = (name for name in method.formats if method.unstorable(unchecked({**filled, "format": name})) is None)
        filled["format"] = next(held, method.formats[0])
    return filled


def unchecked(values: Mapping[str, Any]) -> Request:
    """What methods look at in values that nothing has validated: a half-filled form, or a run of another version."""
    return QuantizeSpec.model_construct(**values).request


def _either(values: tuple[object, ...]) -> str:
    *others, last = (str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last

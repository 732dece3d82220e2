"""What can be asked of `llmopt quantize`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import model_validator

from core.formats.gguf.blocks import Level
from core.models.card import ModelCard
from core.quantize.methods import METHODS, using
from core.quantize.plan.integers import WIDTHS
from core.quantize.plan.request import Clipping, Float8, Granularity, Inputs, Request
from core.quantize.plan.sections import SECTIONS
from core.sanitize import clean
from core.spec import Spec, Unit, either, option, require_window

if TYPE_CHECKING:
    MethodName = str
    FormatName = str
else:
    MethodName = Literal[tuple(METHODS)]
    FormatName = Literal[tuple(dict.fromkeys(name for method in METHODS.values() for name in method.formats))]

INTEGER = using("bits")
"""Methods whose result is an integer grid of the width that is asked for."""
CALIBRATION = tuple(method.name for when in ("yes", "if asked") for method in METHODS.values() if method.calibration == when)
"""Methods that read calibration text, always or when asked to."""


def _of(field: str, description: str, unit: Unit | None = None, /, *, alongside: Mapping[str, tuple[Any, ...]] | None = None, **bounds: Any) -> Any:
    """A field that means something to those methods only that list it, and only alongside certain values of other fields where these are given."""
    return option(description, unit, when={"method": using(field), **(alongside or {})}, **bounds)


class QuantizeSpec(Spec):
    """Quantize the linears of every decoder block, measure the cost, write a checkpoint."""

    capability: ClassVar[str] = "quantize"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = SECTIONS

    method: Annotated[MethodName, option("Quantization method")] = "gptq"
    bits: Annotated[int, _of("bits", "Bits per weight", "bit", ge=2, le=8)] = 4
    granularity: Annotated[
        Granularity, _of("granularity", "Weights that share a scale: a group of a row, an output channel, the whole matrix, a block")
    ] = "group"
    group_size: Annotated[int, option("Weights that share a scale", "weight", when={"granularity": ("group", "block")}, ge=8, le=65536)] = 128
    symmetric: Annotated[bool, _of("symmetric", "Grid symmetric around zero; otherwise each scale has a zero point")] = True
    clipping: Annotated[Clipping, _of("clipping", "Range of the grid: the largest magnitude, or the range with the least squared error")] = "absmax"
    act_order: Annotated[bool, _of("act_order", "gptq: quantize columns with the largest activations first")] = False
    static_groups: Annotated[
        bool, _of("static_groups", "gptq with act-order: keep groups contiguous in the file", alongside={"act_order": (True,)})
    ] = True
    damp: Annotated[float, _of("damp", "gptq, additive: damping as a share of the Hessian's mean diagonal", "1", gt=0, le=1)] = 0.01
    alpha: Annotated[
        float | None,
        _of("alpha", "smoothquant: migration strength alpha, the share of the difficulty moved to the weights; default: searched", "1", ge=0, le=1),
    ] = None
    activation_bits: Annotated[
        Literal[8, 16], _of("activation_bits", "8: quantize activations too, at run time (integers need 8-bit channels)", "bit")
    ] = 16
    activation_scales: Annotated[
        Inputs,
        _of(
            "activation_scales", "Activation scales: dynamic, per token at run time, or static, from calibration", alongside={"activation_bits": (8,)}
        ),
    ] = "dynamic"
    fp8_format: Annotated[Float8, _of("fp8_format", "fp8: e4m3 has finer steps, e5m2 a wider range")] = "e4m3"
    double_quant: Annotated[bool, _of("double_quant", "nf4: quantize the block scales too")] = True
    codebooks: Annotated[
        int | None, _of("codebooks", "additive: number of summed codebooks; default: chosen from the model's matrices", "1", ge=1, le=8)
    ] = None
    codebook_bits: Annotated[
        int | None, _of("codebook_bits", "additive: bits per code; default: chosen from the model's matrices", "bit", ge=2, le=16)
    ] = None
    codebook_vector: Annotated[
        int | None,
        _of("codebook_vector", "additive: adjacent weights of a row per code; default: chosen from the model's matrices", "weight", ge=1, le=64),
    ] = None
    codebook_rows: Annotated[
        int | None,
        _of(
            "codebook_rows",
            "additive: adjacent rows per code; default: 1, which AQLM's kernels support, unless the codebooks would be too large",
            "1",
            ge=1,
            le=64,
        ),
    ] = None
    train_steps: Annotated[int, _of("train_steps", "qat: training steps", "step", ge=1, le=1_000_000)] = 300
    learning_rate: Annotated[float, _of("learning_rate", "qat: peak learning rate of the weights, relative to the grid step", "1", gt=0, le=1)] = (
        0.015
    )
    budget: Annotated[
        float | None,
        _of("budget", "mixed: average bits per quantized weight, scales included; default: 4.25 unless max-kl is given", "bit", gt=0, le=16),
    ] = None
    max_kl: Annotated[
        float | None, _of("max_kl", "mixed: upper limit on the KL divergence on calibration text; the size is minimized under it", "nat", gt=0, le=10)
    ] = None
    widths: Annotated[tuple[int, ...], _of("widths", "mixed: widths to choose from", "bit", min_length=1, max_length=7)] = (2, 3, 4, 6, 8)
    level: Annotated[Level, _of("level", "gguf: type of the file's weights")] = "Q4_K_M"
    imatrix: Annotated[bool, _of("imatrix", "gguf: weight errors by an importance matrix from calibration text")] = False
    calibration: Annotated[str, option("Calibration text: builtin or a UTF-8 file", when={"method": CALIBRATION})] = "builtin"
    calibration_samples: Annotated[int, option("Calibration sequences", "sequence", when={"method": CALIBRATION}, ge=1, le=65536)] = 64
    calibration_length: Annotated[int, option("Tokens per calibration sequence", "token", when={"method": CALIBRATION}, ge=8, le=131072)] = 512
    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, option("Evaluation window", "token", ge=8, le=1048576)] = 512
    eval_tokens: Annotated[int, option("Tokens to evaluate on; 0 skips the evaluation", "token", ge=0, le=2**31)] = 16384
    format: Annotated[FormatName, option("Checkpoint format; default: the method's usual format")] = "compressed-tensors"
    out: Annotated[str | None, option("Output folder for the checkpoint; default: the run's artifacts folder")] = None

    @model_validator(mode="before")
    @classmethod
    def _method_fills_in(cls, values: Any) -> Any:
        return fill(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        method, request = METHODS[self.method], self.request
        if self.bits not in method.widths:
            raise ValueError(f"{self.method} works with {either(method.widths)} bits, not {self.bits}")
        if self.granularity not in method.granularities:
            raise ValueError(f"{self.method} has no granularity {self.granularity}: choose {either(method.granularities)}")
        if self.activation_bits not in method.activation_bits:
            raise ValueError(
                f"{self.method} does not support {self.activation_bits}-bit activations: choose activation-bits {either(method.activation_bits)}"
            )
        if not self.symmetric and not method.zero_points:
            raise ValueError(f"{self.method} has no zero points: leave symmetric at its default")
        if self.format not in method.formats:
            raise ValueError(f"format {self.format} cannot store the result of {self.method}: choose {either(method.formats)}")
        refused = method.unstorable(request) or method.refusal(request)
        if refused is not None:
            raise ValueError(refused)
        if self.activation_scales == "static" and self.activation_bits == 16:
            raise ValueError("activation-scales static needs activation-bits 8: 16-bit activations are not rounded")
        if self.act_order and "act_order" not in method.fields:
            raise ValueError("act-order applies to gptq: choose method gptq, or omit act-order")
        if self.budget is not None and self.max_kl is not None:
            raise ValueError("budget and max-kl are alternatives: give one of them")
        if not set(self.widths) <= set(WIDTHS) or len(set(self.widths)) < len(self.widths):
            raise ValueError("widths must be distinct whole numbers from 2 to 8")
        require_window(self.eval_tokens, self.context)
        return self

    def summary(self) -> str:
        """`gptq 4 bit g128`, `fp8 e4m3 per channel a8`, `gguf Q4_K_M`: the method, what belongs to it, and what departs from the usual."""
        method = METHODS.get(self.method)
        if method is None:
            return clean(str(self.method), limit=60)
        stored = [] if self.format == method.formats[0] else [f"as {self.format}"]
        return clean(" ".join(filter(None, [self.method, *method.recipe(self.request), *stored])), limit=60)

    @property
    def request(self) -> Request:
        """What methods look at."""
        return Request(**{name: getattr(self, name) for name in _LOOKED_AT})

    @property
    def calibrates(self) -> bool:
        """Whether calibration text is read."""
        return METHODS[self.method].calibrates(self.request)

    def settled(self, card: ModelCard) -> QuantizeSpec:
        """The request with all stated that depends on the model and was not given. Raises RequestError: what was given does not fit the model."""
        return self.model_copy(update=METHODS[self.method].settled(self.request, card))


_LOOKED_AT = tuple(one.name for one in fields(Request))


def fill(values: Mapping[str, object]) -> dict[str, object]:
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

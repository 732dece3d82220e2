"""What a quantization method is, apart from its algorithm: one object that the form, the checks, names and the run are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.calibration.norm_groups import recipe_of
from core.measure.estimates import FitLine
from core.models.card import LinearShape, ModelCard
from core.quantize.plan import integers
from core.quantize.plan.request import Granularity, Request

GRID = ("bits", "granularity", "symmetric", "clipping")
"""Fields of a method whose result is an integer grid of the width that is asked for."""
ROUNDED_INPUTS = ("activation_bits", "activation_scales")

_ENGINE_WIDTHS = (4, 8)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method. What it says of sizes, names and limits is that of integer grids, unless a subclass knows better."""

    name: str
    summary: str
    """A few words for whoever chooses."""
    solver: str
    """`module:name` of what carries it out, imported when a run needs it: a `LinearSolver`, `ModelSolver` or `CheckpointWriter`."""
    example: str = ""
    """Options of `llmopt quantize` that show it."""
    fields: tuple[str, ...] = GRID
    """Fields of the spec that mean something to it and not to every method."""
    unused: tuple[str, ...] = ()
    """Fields that would apply by the values of other fields, and yet mean nothing to it."""
    widths: tuple[int, ...] = integers.WIDTHS
    granularities: tuple[Granularity, ...] = ("group", "channel", "tensor")
    formats: tuple[str, ...] = integers.FORMATS
    """Checkpoint formats that can hold the result; the first is the default."""
    activation_bits: tuple[int, ...] = (16,)
    zero_points: bool = True
    """Whether grids with zero points make sense."""
    calibration: Literal["yes", "if asked", "no"] = "yes"
    """Whether it looks at calibration text."""
    fallback: bool = True
    """Whether a linear that calibration text never reached is rounded to nearest on the same grid, with a note; else the method gets no
    statistics and must do without."""
    moves_scales: bool = False
    """Whether it moves scales into norms, which takes a family whose norms are known (`core.calibration.norm_groups`)."""
    looks_only: bool = False
    """Whether calibration is only looked at, in the dtype of the model's weights: no parameter but the linears' own weights is changed."""
    full_precision: bool = False
    """Whether it measures differences that 16-bit arithmetic would drown: it computes in float32 on every device."""
    holds_model: bool = False
    """Whether it holds the whole model in memory: a model that does not fit is refused."""
    measures_outputs: bool = True
    """Whether the errors of linears are those of their outputs where calibration text is read."""
    untouched: str = ""
    """What became of all other tensors, for the README, where they did not stay as they were."""
    compared_in: Literal["integers", "floats"] = "integers"
    """The set of `llmopt quantize-compare` that is of interest next to it."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Values of fields that were not given, where they differ from the spec's own defaults."""

    @property
    def width_words(self) -> str:
        """The widths that can be asked for: `4`, `2 to 8`."""
        low, high = min(self.widths), max(self.widths)
        return str(low) if low == high else f"{low} to {high}"

    def calibrates(self, request: Request) -> bool:
        """Whether calibration text is read."""
        static = request.activation_bits == 8 and request.activation_scales == "static"
        return self.calibration == "yes" or ("activation_scales" in self.fields and static)

    def unstorable(self, request: Request) -> str | None:
        """Why the checkpoint format of a request cannot hold the result, and what can; None when it can."""
        return integers.unstorable(request)

    def refusal(self, request: Request) -> str | None:
        """What does not fit together in a request, whatever the model; None when all does."""
        return integers.no_kernel(request)

    def require(self, request: Request, card: ModelCard) -> None:
        """Nothing, when the method can work on a model. Raises RequestError: it cannot, in one sentence."""
        if self.moves_scales:
            recipe_of(card.model_type, self.name)

    def settled(self, request: Request, card: ModelCard) -> dict[str, object]:
        """Fields that depend on the model and were not given, with the values they get.

        Raises:
            RequestError: what was given does not fit the model.
        """
        return {}

    def nominal(self, request: Request) -> tuple[int, int | None]:
        """Bits of a code, and weights of a row that share a scale; None where it is not a number of weights."""
        return request.bits, request.group_size if request.granularity in ("group", "block") else None

    def stored_bytes(self, request: Request, linear: LinearShape) -> int:
        """Bytes on disk of one linear: codes, scales, zero points, tables; exact where a layout fixes them, else an estimate."""
        return integers.integer_bytes(request, linear)

    def checkpoint_bytes(self, request: Request, card: ModelCard, kept: int) -> int:
        """Bytes on disk of all tensors, of which `kept` are those of tensors that stay as they are."""
        return sum(self.stored_bytes(request, linear) * linear.count for linear in card.linears) + kept

    def memory(self, request: Request, card: ModelCard) -> tuple[FitLine, ...]:
        """What the method holds beyond blocks, calibration and evaluation."""
        if not self.moves_scales:
            return ()
        largest = max(linear.out_features * linear.in_features for linear in card.linears)
        how = "rounded weights of linears that share an input, in float32, while scales are tried"
        return (FitLine("trial", 2 * 4 * largest, how),)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        """What is possible, and likely not what is wanted."""
        if request.format == "compressed-tensors" and request.bits not in _ENGINE_WIDTHS:
            yield f"vLLM has kernels for 4 and 8 bits only: {request.bits}-bit weights load in transformers"
        if "bits" in self.fields and request.granularity == "tensor" and request.activation_bits == 16:
            yield "vLLM has no weight-only kernel for one scale a tensor: the checkpoint loads in transformers"

    def extra_steps(self, request: Request, linears: int) -> int:
        """Steps of a run that come on top of one a linear."""
        return 0

    def name_parts(self, request: Request) -> list[str]:
        """What follows the method in the name of a checkpoint: `w4`, `g128`, and what departs from the usual."""
        parts = [f"w{request.bits}a8" if request.activation_bits == 8 else f"w{request.bits}", integers.shares(request)]
        parts += [] if request.symmetric else ["asym"]
        return parts if request.format == self.formats[0] else [*parts, request.format.replace("compressed-tensors", "ct")]

    def description(self, request: Request) -> str:
        """The result in words: `4 bits by GPTQ: symmetric integer grid, one scale for 128 neighbouring weights of a row`."""
        return f"{request.bits} bits by {self.name.upper()}: {integers.grid_words(request)}{integers.input_words(request)}"

    def recipe(self, request: Request) -> list[str]:
        """What was asked, after the method, in the line that names a run: `4 bit`, `g128`, and what departs from the usual."""
        usual = self.defaults.get("symmetric", True)
        flags = [] if request.symmetric == usual else ["sym" if request.symmetric else "asym"]
        flags += ["mse"] if request.clipping == "mse" else []
        flags += ["act-order"] if request.act_order and "act_order" in self.fields else []
        return [f"{request.bits} bit", integers.scope(request), *flags, *self.input_recipe(request)]

    def input_recipe(self, request: Request) -> list[str]:
        """What becomes of activations, in the same line."""
        if request.activation_bits != 8:
            return []
        return ["w8a8" if request.bits == 8 else "a8", *(["static"] if request.activation_scales == "static" else [])]

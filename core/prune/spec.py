"""What can be asked of `llmopt prune`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import model_validator

from core.prune.methods import CRITERIA, METHODS, using
from core.prune.plan.request import Allocation, Compensation, HeadAxis, Inputs, Request, Scope, pattern
from core.prune.plan.sections import SECTIONS
from core.sanitize import clean
from core.spec import Spec, Unit, either, option, require_window

if TYPE_CHECKING:
    MethodName = str
    CriterionName = str
else:
    MethodName = Literal[tuple(METHODS)]
    CriterionName = Literal[CRITERIA]


def _of(field: str, description: str, unit: Unit | None = None, /, *, alongside: Mapping[str, tuple[Any, ...]] | None = None, **bounds: Any) -> Any:
    """A field that means something to those methods only that list it, and only alongside certain values of other fields where these are given."""
    return option(description, unit, when={"method": using(field), **(alongside or {})}, **bounds)


class PruneSpec(Spec):
    """Prune a model, measure the quality loss and the speed, write a checkpoint."""

    capability: ClassVar[str] = "prune"
    sections: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = SECTIONS

    method: Annotated[MethodName, option("Pruning method")] = "wanda"
    sparsity: Annotated[float, option("Share to remove: of the weights, or of the channels, heads, hidden width or layers", "1", gt=0, lt=1)] = 0.5
    keep: Annotated[
        str | None,
        _of("keep", "Semi-structured: n:m keeps n of every m consecutive inputs; replaces sparsity", pattern=r"^\d+:\d+$"),
    ] = None
    remove: Annotated[
        int | None, _of("remove", "Number of layers, KV groups, query heads per group, channels or hidden columns to remove; replaces sparsity", ge=1)
    ] = None
    criterion: Annotated[CriterionName | None, _of("criterion", "Score that decides what is removed; default: the method's own choice")] = None
    scope: Annotated[Scope, _of("scope", "magnitude: what the smallest weights are counted over")] = "row"
    within_block: Annotated[
        Inputs,
        _of(
            "within_block",
            "Inputs of a block's linears: after those before them were pruned, or of the dense block, as in Wanda's code",
        ),
    ] = "updated"
    allocation: Annotated[Allocation, _of("allocation", "Sparsity per layer: equal, by outliers, rising, or by measured KL divergence")] = "uniform"
    owl_threshold: Annotated[
        float, _of("allocation", "owl: multiple of a layer's mean score that makes an outlier", "1", alongside={"allocation": ("owl",)}, gt=1, le=100)
    ] = 5.0
    owl_range: Annotated[
        float, _of("allocation", "owl: largest departure from the average sparsity", "1", alongside={"allocation": ("owl",)}, gt=0, lt=0.5)
    ] = 0.08
    atp_step: Annotated[
        float | None,
        _of("allocation", "atp: rise of the sparsity from block to block; default: searched", "1", alongside={"allocation": ("atp",)}, gt=0, lt=0.5),
    ] = None
    swaps: Annotated[int, _of("swaps", "Swap refinement: most exchanges of a kept and a removed weight per row; 0: none", ge=0, le=10000)] = 0
    refit: Annotated[bool, _of("refit", "Refit the weights that are left by least squares on the calibration inputs")] = False
    damp: Annotated[float, _of("damp", "Damping as a share of the Hessian's mean diagonal", "1", gt=0, le=1)] = 0.01
    alps_steps: Annotated[int, _of("alps_steps", "alps: most ADMM steps", "step", ge=1, le=10000)] = 300
    heads: Annotated[HeadAxis, _of("heads", "heads: whole KV groups, or the same number of query heads of every group")] = "groups"
    compensation: Annotated[
        Compensation, _of("compensation", "How the next linear makes up for what was removed: refitted by least squares, a bias, or not at all")
    ] = "least-squares"
    multiple_of: Annotated[
        int, _of("multiple_of", "Keep a multiple of this many: 256 for K-quants, 128 for quantization groups, 32 for 2:4 kernels", ge=1, le=4096)
    ] = 32
    recover_steps: Annotated[
        int, option("Training steps of a distillation from the original that recovers quality; 0: none", "step", ge=0, le=1_000_000)
    ] = 0
    recover_rate: Annotated[float, option("Peak learning rate of the recovery", "1", gt=0, le=1)] = 3e-4
    recover_tokens: Annotated[int, option("Tokens per recovery step", "token", ge=8, le=2**20)] = 2048
    calibration: Annotated[str, option("Calibration text: builtin or a UTF-8 file")] = "builtin"
    calibration_samples: Annotated[int, option("Calibration sequences", "sequence", ge=1, le=65536)] = 64
    calibration_length: Annotated[int, option("Tokens per calibration sequence", "token", ge=8, le=131072)] = 512
    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, option("Evaluation window", "token", ge=8, le=1048576)] = 512
    eval_tokens: Annotated[int, option("Tokens to evaluate on; 0 skips the evaluation", "token", ge=0, le=2**31)] = 16384
    speed_tokens: Annotated[int, option("Tokens to decode when the speed is measured; 0 skips the measurement", "token", ge=0, le=65536)] = 64
    out: Annotated[str | None, option("Output folder for the checkpoint; default: the run's artifacts folder")] = None

    @model_validator(mode="before")
    @classmethod
    def _method_fills_in(cls, values: Any) -> Any:
        return fill(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        method, request = METHODS[self.method], self.request
        if self.criterion not in (method.criteria or (None,)):
            raise ValueError(f"{self.method} has no criterion {self.criterion}: choose {either(method.criteria or ('another method',))}")
        if request.keep is not None and not 0 < request.keep[0] < request.keep[1]:
            raise ValueError(f"keep {self.keep} is invalid: n:m keeps n of every m inputs, with n from 1 to m - 1, as in 2:4")
        if request.keep is not None and self.allocation != "uniform":
            raise ValueError(f"keep {self.keep} fixes the sparsity of every layer: give sparsity instead, or omit allocation")
        if request.keep is not None and self.scope != "row":
            raise ValueError(f"keep {self.keep} counts inside groups of a row: omit scope")
        refused = method.refusal(request)
        if refused is not None:
            raise ValueError(refused)
        require_window(self.eval_tokens, self.context)
        return self

    def summary(self) -> str:
        """`wanda 50 %`, `sparsegpt keep 2 of 4`, `layers -3 layers`: the method, how much, and what departs from the usual."""
        method = METHODS.get(self.method)
        return clean(" ".join([self.method, *method.recipe(self.request)]) if method is not None else str(self.method), limit=60)

    @property
    def request(self) -> Request:
        """What methods look at."""
        return Request(keep=pattern(self.keep), criterion=self.criterion or "", **{name: getattr(self, name) for name in _LOOKED_AT})

    @property
    def calibrates(self) -> bool:
        """Whether calibration text is read."""
        return METHODS[self.method].calibrates(self.request)


_LOOKED_AT = tuple(one.name for one in fields(Request) if one.name not in ("keep", "criterion"))


def fill(values: Mapping[str, object]) -> dict[str, object]:
    """Values of a request with those of the method put in where none were given."""
    given = {name: value for name, value in values.items() if value not in (None, "") or name not in ("criterion", "keep", "remove")}
    method = METHODS.get(str(given.get("method", "wanda")))
    return given if method is None else {"criterion": next(iter(method.criteria), None), **method.defaults, **given}


def unchecked(values: Mapping[str, Any]) -> Request:
    """What methods look at in values that nothing has validated: a half-filled form, or a run of another version."""
    return PruneSpec.model_construct(**values).request

"""What a pruning method is, apart from its algorithm: one object that the form, the checks, names and the run are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.models.card import ModelCard
from core.prune.plan.request import Request

Kind = Literal["weights", "channels", "heads", "width", "layers"]
"""What a method removes: single weights of a linear, which leaves its shape, or a slice of the model, which makes it smaller."""
MASK = ("keep", "allocation")
"""Fields of every method that leaves zeros in place."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method."""

    name: str
    kind: Kind
    summary: str
    """A few words for whoever chooses."""
    solver: str
    """`module:name` of what carries it out, imported when a run needs it: a `core.prune.pipeline.writer.Writer`."""
    example: str = ""
    """Options of `llmopt prune` that show it."""
    fields: tuple[str, ...] = ()
    """Fields of the spec that mean something to it and not to every method."""
    criteria: tuple[str, ...] = ()
    """Scores that decide what is removed; the first is the default, none where the method is the score."""
    calibration: Literal["yes", "criterion", "no"] = "yes"
    """Whether it reads calibration text; `criterion`: unless only the weights are looked at."""
    unit: str = ""
    """What `remove` counts, in the plural."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Values of fields that were not given, where they differ from the spec's own defaults."""

    @property
    def shrinks(self) -> bool:
        """Whether the model has fewer parameters afterwards; masks leave zeros in place."""
        return self.kind != "weights"

    def calibrates(self, request: Request) -> bool:
        """Whether calibration text is read."""
        if self.calibration == "criterion":
            return request.criterion != "norm" or request.compensation != "none"
        searched = request.allocation in ("owl", "sensitivity") or (request.allocation == "atp" and request.atp_step is None)
        return self.calibration == "yes" or request.swaps > 0 or request.refit or searched

    def refusal(self, request: Request) -> str | None:
        """What does not fit together in a request, whatever the model; None when all does."""
        return None

    def require(self, request: Request, card: ModelCard) -> None:
        """Nothing, when the method can work on a model. Raises RequestError: it cannot, in one sentence."""

    def parameters_after(self, request: Request, card: ModelCard) -> int:
        """Parameters of the result."""
        return card.parameters

    def layers_after(self, request: Request, card: ModelCard) -> int:
        """Decoder blocks of the result."""
        return card.layers

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        """What is possible, and likely not what is wanted."""
        return iter(())

    def extra_steps(self, request: Request, card: ModelCard) -> int:
        """Steps of a run that come on top of one a linear."""
        return 0

    def name_parts(self, request: Request) -> list[str]:
        """What follows the method in the name of a checkpoint: `2of4`, `s50`, and what departs from the usual."""
        return [amount_name(request), *departures(request, self)]

    def description(self, request: Request) -> str:
        """What is removed, in words."""
        if self.shrinks:
            amount = f"{100 * request.sparsity:g} % of" if request.remove is None else f"{request.remove} of"
            whose = "its layers" if self.kind == "layers" else f"the {self.unit}, the same number in every block,"
            return f"{amount} {whose} are cut out, chosen by {request.criterion or self.name}{_MADE_UP.get(self._compensated(request), '')}."
        if request.keep is not None:
            what = f"{request.keep[1] - request.keep[0]} of every {request.keep[1]} consecutive weights of a row are zero, {request.keep[0]} are kept"
        else:
            what = f"{100 * request.sparsity:g} % of the weights of the decoder blocks' linears are zero"
        return f"{what}, chosen by {self.name}{_AFTERWARDS[request.swaps > 0, request.refit]}."

    def _compensated(self, request: Request) -> str:
        return request.compensation if "compensation" in self.fields else ""

    def recipe(self, request: Request) -> list[str]:
        """What was asked, after the method, in the line that names a run: `50 %`, `keep 2 of 4`."""
        return [amount_words(request, self), *departures(request, self)]


_AFTERWARDS = {
    (False, False): "",
    (True, False): ", refined by swaps",
    (False, True): ", what is left refitted by least squares",
    (True, True): ", refined by swaps, what is left refitted by least squares",
}
_MADE_UP = {
    "least-squares": "; the next linear is refitted to its inputs by least squares",
    "bias": "; a bias makes up for the mean of what is gone",
}
_COMPENSATION = {"none": "uncompensated", "bias": "bias"}


def amount_name(request: Request) -> str:
    """How much is removed, as part of a file's name."""
    if request.keep is not None:
        return f"{request.keep[0]}of{request.keep[1]}"
    return f"minus{request.remove}" if request.remove is not None else f"s{100 * request.sparsity:g}"


def amount_words(request: Request, method: Method) -> str:
    """How much is removed, in words."""
    if request.keep is not None:
        return f"keep {request.keep[0]} of {request.keep[1]}"
    return f"-{request.remove} {method.unit}" if request.remove is not None else f"{100 * request.sparsity:g} %"


def departures(request: Request, method: Method) -> list[str]:
    """Settings that differ from the method's usual ones, each in a word."""
    used = set(method.fields)
    found = [request.criterion] if len(method.criteria) > 1 and request.criterion != method.criteria[0] else []
    found += [request.allocation] if "allocation" in used and request.allocation != "uniform" else []
    found += [request.scope] if "scope" in used and request.scope != "row" else []
    found += ["dense"] if "within_block" in used and request.within_block == "dense" else []
    found += ["swaps"] if "swaps" in used and request.swaps else []
    found += ["refit"] if "refit" in used and request.refit else []
    found += [request.heads] if "heads" in used and request.heads != "groups" else []
    found += [_COMPENSATION[request.compensation]] if "compensation" in used and request.compensation in _COMPENSATION else []
    found += [f"recover{request.recover_steps}"] if request.recover_steps else []
    return found

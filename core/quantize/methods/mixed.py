"""Mixed precision by measured sensitivity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from core.errors import RequestError
from core.measure.estimates import FitLine
from core.models.card import LinearShape, ModelCard
from core.quantize.methods.base import Method
from core.quantize.plan import integers
from core.quantize.plan.request import Request

BUDGET = 4.25
"""Bits a weight, scales counted, when neither a budget nor a divergence is given."""

_MEASURING_BYTES = 320 * 2**20
_MEASURED_TOKENS = 2048
_MANY_MEASUREMENTS = 2000


class _Mixed(Method):
    def require(self, request: Request, card: ModelCard) -> None:
        """Refuse a budget that even the smallest of the widths passes."""
        if request.max_kl is not None:
            return
        narrowest = replace(request, bits=min(request.widths))
        weights = sum(linear.out_features * linear.in_features * linear.count for linear in card.linears)
        least = 8 * sum(integers.integer_bytes(narrowest, linear) * linear.count for linear in card.linears) / weights
        budget = request.budget or BUDGET
        if budget < least:
            raise RequestError(
                f"a budget of {budget:g} bits per weight is below the {least:.3f} of width {narrowest.bits} with its "
                "scales: raise the budget, or allow fewer bits in widths"
            )

    def stored_bytes(self, request: Request, linear: LinearShape) -> int:
        return int(linear.out_features * linear.in_features * (request.budget or BUDGET) / 8)

    def memory(self, request: Request, card: ModelCard) -> tuple[FitLine, ...]:
        variants = len(request.widths) * sum(linear.count for linear in card.linears) // max(card.layers, 1)
        waiting = max(_MEASURING_BYTES, variants * _MEASURED_TOKENS * card.hidden_size * 4)
        how = "hidden states of models with one rounded linear that wait to be measured: linears of a block x widths; less where memory is short"
        return (FitLine("measuring", waiting, how),)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        measurements = self.extra_steps(request, sum(linear.count for linear in card.linears))
        if measurements > _MANY_MEASUREMENTS:
            yield f"mixed measures {measurements:,} models with one rounded linear each, which is slow: use fewer widths"

    def extra_steps(self, request: Request, linears: int) -> int:
        return linears * len(request.widths)

    def name_parts(self, request: Request) -> list[str]:
        goal = f"kl{request.max_kl:g}" if request.max_kl is not None else f"{request.budget or BUDGET:g}bit"
        return [goal, integers.shares(request)]

    def description(self, request: Request) -> str:
        return f"widths chosen linear by linear by measured sensitivity: {integers.grid_words(request)}"

    def recipe(self, request: Request) -> list[str]:
        goal = f"{integers.short(request.budget or BUDGET)} bit" if request.max_kl is None else f"KL {integers.short(request.max_kl)}"
        return [goal, integers.scope(request)]


MIXED = _Mixed(
    name="mixed",
    summary="measures each linear's sensitivity and assigns bits where they matter",
    solver="core.quantize.whole.mixed:SOLVER",
    example="--method mixed --budget 3.5",
    fields=("granularity", "symmetric", "clipping", "damp", "budget", "max_kl", "widths"),
    granularities=("group", "channel"),
    formats=("compressed-tensors",),
    # transformers loads zero points by unpacking all linears as if they had one width.
    zero_points=False,
    full_precision=True,
)

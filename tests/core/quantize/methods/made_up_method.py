"""A made-up method as one object, the first of the two files that a method takes."""

from __future__ import annotations

from collections.abc import Iterator

from core.models.card import ModelCard
from core.quantize.methods.base import Method
from core.quantize.plan.request import Request


class _Even(Method):
    def refusal(self, request: Request) -> str | None:
        return super().refusal(request) or ("even has no grid of 3 bits" if request.bits == 3 else None)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        yield f"every second code of {card.layers} blocks is lost"


EVEN = _Even(
    name="even",
    summary="rounds to even codes",
    solver="tests.core.quantize.methods.made_up_solver:SOLVER",
    example="--method even --bits 8",
    formats=("compressed-tensors",),
    calibration="no",
    defaults={"bits": 5, "group_size": 32},
)

"""GPTQ (arXiv 2210.17323)."""

from __future__ import annotations

from core.quantize.methods.base import GRID, ROUNDED_INPUTS, Method
from core.quantize.plan.request import Request


class _Gptq(Method):
    def refusal(self, request: Request) -> str | None:
        refused = super().refusal(request)
        if refused is None and request.act_order and not request.static_groups and request.granularity == "group" and request.format != "gptq":
            return f"{request.format} does not support groups that follow act-order: keep static-groups, or choose format gptq or granularity channel"
        return refused


GPTQ = _Gptq(
    name="gptq",
    summary="corrects each rounding by second-order information",
    solver="core.quantize.gptq:SOLVER",
    example="--method gptq --bits 3 --format gptq",
    fields=(*GRID, *ROUNDED_INPUTS, "act_order", "static_groups", "damp"),
    activation_bits=(16, 8),
    looks_only=True,
)

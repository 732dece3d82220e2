"""LLM.int8() (arXiv 2208.07339)."""

from __future__ import annotations

from core.models.card import LinearShape
from core.quantize.methods.base import Method
from core.quantize.plan.request import Request


class _Int8(Method):
    def stored_bytes(self, request: Request, linear: LinearShape) -> int:
        return linear.out_features * linear.in_features + 4 * linear.out_features

    def name_parts(self, request: Request) -> list[str]:
        return []

    def description(self, request: Request) -> str:
        return "LLM.int8(): 8-bit rows, outlier features of the inputs in 16 bits"

    def recipe(self, request: Request) -> list[str]:
        return []


INT8 = _Int8(
    name="int8",
    summary="LLM.int8(): 8-bit rows, outlier activations in 16 bits",
    solver="core.quantize.linear.int8:SOLVER",
    example="--method int8",
    fields=(),
    widths=(8,),
    granularities=("channel",),
    formats=("bitsandbytes",),
    activation_bits=(8,),
    zero_points=False,
    calibration="no",
    compared_in="floats",
    defaults={"bits": 8, "granularity": "channel", "activation_bits": 8},
)

"""8-bit floats, E4M3 and E5M2 (arXiv 2209.05433)."""

from __future__ import annotations

from core.errors import RequestError
from core.models.card import LinearShape, ModelCard
from core.quantize.methods.base import ROUNDED_INPUTS, Method
from core.quantize.plan import integers
from core.quantize.plan.request import Request

_BLOCK = 128
_SCALE_BYTES = 2
_SQUARE = "one scale for a block of 128 x 128 weights"


class _Fp8(Method):
    def refusal(self, request: Request) -> str | None:
        if request.granularity == "block" and request.group_size != _BLOCK:
            return "blocks of 8-bit floats are squares of 128 x 128 in every engine: leave group-size at 128"
        if request.granularity == "block" and request.activation_bits == 8 and request.activation_scales == "static":
            return "engines compute the input scales of blocks at run time: choose activation-scales dynamic, or granularity channel"
        if request.fp8_format == "e5m2":
            return "compressed-tensors knows 8-bit floats as E4M3 only: choose fp8-format e4m3 (the comparison measures E5M2 too)"
        return None

    def require(self, request: Request, card: ModelCard) -> None:
        for linear in card.linears:
            if request.granularity == "block" and request.activation_bits == 8 and linear.in_features % _BLOCK:
                raise RequestError(
                    f"blocks of {_BLOCK} do not divide the inputs of {linear.name_suffix} ({linear.in_features} features), "
                    "which are rounded in blocks of that size: choose granularity channel, or activation-bits 16"
                )

    def stored_bytes(self, request: Request, linear: LinearShape) -> int:
        rows, columns = linear.out_features, linear.in_features
        side = request.group_size
        scales = {"channel": rows, "tensor": 1, "block": -(-rows // side) * -(-columns // side)}[request.granularity]
        return rows * columns + _SCALE_BYTES * scales + (_SCALE_BYTES if request.activation_scales == "static" else 0)

    def name_parts(self, request: Request) -> list[str]:
        return [request.fp8_format, f"a{request.activation_bits}", integers.shares(request)]

    def description(self, request: Request) -> str:
        share = _SQUARE if request.granularity == "block" else integers.share_words(request)
        return f"8-bit floats ({request.fp8_format.upper()}), {share}{integers.input_words(request)}"

    def recipe(self, request: Request) -> list[str]:
        return [str(request.fp8_format), integers.scope(request), *self.input_recipe(request)]

    def input_recipe(self, request: Request) -> list[str]:
        return ["a8", *super().input_recipe(request)[1:]] if request.activation_bits == 8 else []


FP8 = _Fp8(
    name="fp8",
    summary="8-bit floats for weights, optionally for activations",
    solver="core.quantize.linear.fp8:SOLVER",
    example="--method fp8 --granularity block",
    fields=("granularity", *ROUNDED_INPUTS, "fp8_format"),
    widths=(8,),
    granularities=("channel", "tensor", "block"),
    formats=("compressed-tensors",),
    activation_bits=(16, 8),
    zero_points=False,
    calibration="if asked",
    fallback=False,
    compared_in="floats",
    defaults={"bits": 8, "granularity": "channel"},
)

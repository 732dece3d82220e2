"""4-bit NormalFloat (arXiv 2305.14314)."""

from __future__ import annotations

from collections.abc import Iterator

from core.models.card import LinearShape, ModelCard
from core.quantize.methods.base import Method
from core.quantize.plan import integers
from core.quantize.plan.request import Request

_BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)
_NESTED_BLOCK = 256
_TABLE_BYTES = 4


class _Nf4(Method):
    def refusal(self, request: Request) -> str | None:
        if request.group_size not in _BLOCKS:
            return f"bitsandbytes supports blocks of {', '.join(map(str, _BLOCKS))} weights: choose one of these as group-size"
        return None

    def stored_bytes(self, request: Request, linear: LinearShape) -> int:
        weights = linear.out_features * linear.in_features
        blocks = -(-weights // request.group_size)
        tables = 16 * _TABLE_BYTES
        if not request.double_quant:
            return -(-weights // 2) + 4 * blocks + tables
        return -(-weights // 2) + blocks + 4 * -(-blocks // _NESTED_BLOCK) + 256 * _TABLE_BYTES + tables

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        if any(linear.in_features % request.group_size for linear in card.linears):
            yield f"bitsandbytes misreads blocks of {request.group_size} that cross rows on some CPUs: choose a group-size that divides the rows"

    def name_parts(self, request: Request) -> list[str]:
        return [integers.shares(request), *(["dq"] if request.double_quant else [])]

    def description(self, request: Request) -> str:
        return f"4-bit NormalFloat, {integers.share_words(request)}{', scales rounded to 8 bits too' if request.double_quant else ''}"

    def recipe(self, request: Request) -> list[str]:
        return [integers.scope(request), "double" if request.double_quant else ""]


NF4 = _Nf4(
    name="nf4",
    summary="4-bit codes spaced like a normal distribution, by blocks (QLoRA)",
    solver="core.quantize.linear.nf4:SOLVER",
    example="--method nf4",
    fields=("double_quant",),
    widths=(4,),
    granularities=("block",),
    formats=("bitsandbytes",),
    zero_points=False,
    calibration="no",
    compared_in="floats",
    defaults={"bits": 4, "granularity": "block", "group_size": 64},
)

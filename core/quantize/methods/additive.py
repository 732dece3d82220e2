"""Additive codebooks (AQLM, arXiv 2401.06118)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.models.card import LinearShape, ModelCard
from core.quantize.methods.base import Method
from core.quantize.plan.additive_shape import settle, shape_of
from core.quantize.plan.request import Request


class _Additive(Method):
    def settled(self, request: Request, card: ModelCard) -> dict[str, Any]:
        shape = settle(request, card)
        return {
            "codebooks": shape.codebooks,
            "codebook_bits": shape.codebook_bits,
            "codebook_rows": shape.out_group,
            "codebook_vector": shape.in_group,
        }

    def stored_bytes(self, request: Request, linear: LinearShape) -> int:
        return shape_of(request).stored_bytes(linear.out_features, linear.in_features)

    def warnings(self, request: Request, card: ModelCard) -> Iterator[str]:
        if not shape_of(request).has_kernels:
            yield f"aqlm has no kernel for {shape_of(request).words}: it dequantizes each weight before its product"

    def name_parts(self, request: Request) -> list[str]:
        return [f"{request.bits}bit"]

    def description(self, request: Request) -> str:
        return f"sums of codebook vectors (AQLM){'' if request.codebooks is None else f': {shape_of(request).words}'}"

    def recipe(self, request: Request) -> list[str]:
        books, bits, length = request.codebooks, request.codebook_bits, request.codebook_vector
        given = f"{books or '?'}x{bits or '?'} by {length or '?'}" if any((books, bits, length)) else ""
        return [f"{request.bits} bit", given]


ADDITIVE = _Additive(
    name="additive",
    summary="sums of codebook vectors, about 2 bits (AQLM)",
    solver="core.quantize.linear.additive:SOLVER",
    example="--method additive",
    fields=("damp", "codebooks", "codebook_bits", "codebook_vector", "codebook_rows"),
    widths=(2,),
    granularities=("channel",),
    formats=("aqlm",),
    zero_points=False,
    fallback=False,
    defaults={"bits": 2, "granularity": "channel"},
)

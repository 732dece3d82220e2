"""SmoothQuant (arXiv 2211.10438)."""

from __future__ import annotations

from core.quantize.methods.base import Method
from core.quantize.plan.integers import short
from core.quantize.plan.request import Request


class _SmoothQuant(Method):
    def recipe(self, request: Request) -> list[str]:
        return [*self.input_recipe(request), "" if request.alpha is None else f"α {short(request.alpha)}"]


SMOOTHQUANT = _SmoothQuant(
    name="smoothquant",
    summary="moves outliers from activations to weights: 8-bit weights and activations",
    solver="core.quantize.linear.smoothquant:SOLVER",
    example="--method smoothquant --activation-scales static",
    fields=("clipping", "alpha", "activation_scales"),
    widths=(8,),
    granularities=("channel",),
    formats=("compressed-tensors",),
    activation_bits=(8,),
    zero_points=False,
    moves_scales=True,
    compared_in="floats",
    defaults={"bits": 8, "granularity": "channel", "activation_bits": 8},
)

"""AWQ (arXiv 2306.00978)."""

from __future__ import annotations

from core.quantize.methods.base import Method

AWQ = Method(
    name="awq",
    summary="scales up the channels with large activations, then rounds",
    solver="core.quantize.linear.awq:SOLVER",
    example="--method awq",
    granularities=("group", "channel"),
    formats=("awq", "compressed-tensors", "gptq"),
    moves_scales=True,
    defaults={"symmetric": False},
)

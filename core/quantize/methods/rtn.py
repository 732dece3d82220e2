"""Round to nearest."""

from __future__ import annotations

from core.quantize.methods.base import GRID, ROUNDED_INPUTS, Method

RTN = Method(
    name="rtn",
    summary="rounds to nearest; needs no data",
    solver="core.quantize.linear.rtn:SOLVER",
    fields=(*GRID, *ROUNDED_INPUTS),
    activation_bits=(16, 8),
    calibration="if asked",
)

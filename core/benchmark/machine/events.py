"""Rows of a measurement of the machine, each of which is reported as soon as it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from core.event import DetailEvent, Label, shown
from core.result import Figure, Figures

Bound = Literal["memory", "arithmetic"]
Text = Annotated[str, shown(200)]


class SquareFigures(DetailEvent, Figures):
    """A product of two square matrices; measured."""

    kind: ClassVar[str] = "square"
    device: Label
    dtype: Label
    size: int
    gflops: Annotated[float | None, Figure("GFLOP/s", "", "higher")]
    """10^9 operations per second, a multiplication and an addition counted as two; mean over the repeats. None: see `reason`."""
    deviation: float | None = None
    """Standard deviation of the repeats."""
    repeats: int = 0
    how: Text = ""
    """What computed it."""
    reason: Text = ""
    """Why there is no figure."""


class BandwidthFigures(DetailEvent, Figures):
    """Memory beyond the caches; measured."""

    kind: ClassVar[str] = "bandwidth"
    device: Label
    traffic: Annotated[Literal["copy", "read"], Field(alias="kind")]
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    """Of the array that is copied or read."""
    gb_per_second: float | None
    """10^9 bytes per second; a copy counts what is read and what is written."""
    deviation: float | None = None
    repeats: int = 0
    reason: Text = ""


class Roof(DetailEvent, Figures):
    """What bounds products of one number format on one device: both sides measured, the balance computed from them."""

    kind: ClassVar[str] = "roof"
    device: Label
    dtype: Label
    peak_gflops: float
    """The best mean of the square products."""
    peak_size: int
    gb_per_second: float
    """Of reading."""
    balance: Annotated[float, Figure("operations a byte at which both bounds meet")]
    """Operations a byte at which both take the same time: peak / bandwidth."""


class ProductRow(DetailEvent, Figures):
    """One product of the model under one load: its shape counted, its speed measured, the rest computed from what was measured."""

    kind: ClassVar[str] = "product"
    device: Label
    dtype: Label
    product: Label
    """qkv, out, gate and up, down, head."""
    phase: Label
    """decode or prefill."""
    rows: int
    """Tokens that go through it at once."""
    outputs: int
    inputs: int
    flops: float
    """2 x rows x outputs x inputs."""
    bytes: Annotated[float, Figure("size", "byte", "lower")]
    """Inputs and weights read, outputs written, each once."""
    intensity: float
    """Operations a byte."""
    bound: Bound | None
    """Memory where the intensity is below the machine's balance; None where that is not known."""
    attainable_gflops: float | None
    """Computed: the smaller of the peak and of intensity x bandwidth."""
    gflops: Annotated[float | None, Figure("GFLOP/s", "", "higher")]
    """Measured, mean; a weight comes back only after as many bytes as the whole model has, as in decoding."""
    deviation: float | None = None
    share: float | None = None
    """Measured / attainable; above 1 where the weights stay in a cache, or a product does better than the best square."""
    in_cache: bool | None = None
    """Whether all of the model's weights fit into the device's last cache, so that memory does not bound them; None: its size is not known."""
    reason: Text = ""


Row = SquareFigures | BandwidthFigures | Roof | ProductRow
ROWS: Final[Mapping[str, type[Row]]] = {each.kind: each for each in (SquareFigures, BandwidthFigures, Roof, ProductRow)}
"""By the kind of the event."""

"""What a machine does: matrix products, memory, and the roofline of a model's products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, computed_field, model_validator

from core.result import Figure, Figures, Result, Seconds

Bound = Literal["memory", "arithmetic"]
_AROUND = ("schema", "llmopt_version", "run", "capability", "artifacts")


class SquareFigures(Figures):
    """A product of two square matrices; measured."""

    device: str
    dtype: str
    size: int
    gflops: Annotated[float | None, Figure("GFLOP/s", "", "higher")]
    """10^9 operations a second, a multiplication and an addition counted as two; mean over the repeats. None: see `reason`."""
    deviation: float | None = None
    """Standard deviation of the repeats."""
    repeats: int = 0
    how: str = ""
    """What computed it."""
    reason: str = ""
    """Why there is no figure."""


class BandwidthFigures(Figures):
    """Memory beyond the caches; measured."""

    device: str
    kind: Literal["copy", "read"]
    bytes: Annotated[int, Figure("size", "byte", "lower")]
    """Of the array that is copied or read."""
    gb_per_second: float | None
    """10^9 bytes a second; a copy counts what is read and what is written."""
    deviation: float | None = None
    repeats: int = 0
    reason: str = ""


class Roof(Figures):
    """What bounds products of one number format on one device: both sides measured, the balance reckoned from them."""

    device: str
    dtype: str
    peak_gflops: float
    """The best mean of the square products."""
    peak_size: int
    gb_per_second: float
    """Of reading."""
    balance: Annotated[float, Figure("operations a byte at which both bounds meet")]
    """Operations a byte at which both take the same time: peak / bandwidth."""


class ProductRow(Figures):
    """One product of the model under one load: its shape counted, its speed measured, the rest reckoned from what was measured."""

    device: str
    dtype: str
    product: str
    """qkv, out, gate and up, down, head."""
    phase: str
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
    """Reckoned: the smaller of the peak and of intensity x bandwidth."""
    gflops: Annotated[float | None, Figure("GFLOP/s", "", "higher")]
    """Measured, mean; a weight comes back only after as many bytes as the whole model has, as in decoding."""
    deviation: float | None = None
    share: float | None = None
    """Measured / attainable; above 1 where the weights stay in a cache, or a product does better than the best square."""
    in_cache: bool | None = None
    """Whether all of the model's weights fit into the device's last cache, so that memory does not bound them; None: its size is not known."""
    reason: str = ""


class DeviceFacts(Figures):
    """Where it was measured."""

    device: str
    name: str
    threads: int | None = None
    cache_bytes: Annotated[int | None, Figure("bytes of the cache", "byte", "lower")] = None
    """The last level's."""


class BenchmarkMachineResult(Result):
    """Of `llmopt benchmark-machine`."""

    figures: ClassVar[Mapping[str, Figure]] = {
        "copy_gb_per_second": Figure("memory copied", "GB/s", "higher"),
        "read_gb_per_second": Figure("memory read", "GB/s", "higher"),
    }
    schema_: str = Field("llmopt.benchmark-machine/1", alias="schema")
    capability: Literal["benchmark-machine"] = "benchmark-machine"
    model: str
    devices: tuple[DeviceFacts, ...]
    squares: tuple[SquareFigures, ...]
    bandwidths: tuple[BandwidthFigures, ...]
    roofs: tuple[Roof, ...]
    rows: tuple[ProductRow, ...]
    repeats: int
    machine: dict[str, Any]
    seconds: Seconds
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _without_what_a_run_adds(cls, value: Any) -> Any:
        """A result that was written can be read again."""
        left_out = (*_AROUND, *cls.model_computed_fields)
        return {name: held for name, held in value.items() if name not in left_out} if isinstance(value, dict) else value

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, float]:
        """Peaks and bandwidths by device."""
        found = {f"{roof.device} {roof.dtype}.gflops": roof.peak_gflops for roof in self.roofs}
        found |= {f"{each.device}.{each.kind}_gb_per_second": each.gb_per_second for each in self.bandwidths if each.gb_per_second is not None}
        return found | {f"{roof.device} {roof.dtype}.balance": roof.balance for roof in self.roofs}


class Line(Figures):
    """One curve or group of points of a chart."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    labels: tuple[str, ...] = ()
    """Of the points, where they have names."""


def size_chart(result: BenchmarkMachineResult) -> tuple[Line, ...]:
    """GFLOP/s by size: a curve for each device and number format that was measured."""
    groups: dict[str, list[SquareFigures]] = {}
    for square in result.squares:
        if square.gflops is not None:
            groups.setdefault(f"{square.device} {square.dtype}", []).append(square)
    return tuple(
        Line(name=name, x=tuple(float(each.size) for each in held), y=tuple(each.gflops or 0.0 for each in held)) for name, held in groups.items()
    )


def roof_chart(result: BenchmarkMachineResult, device: str, dtype: str) -> tuple[Line, ...]:
    """GFLOP/s by operations a byte, both axes to be logarithmic: the roof (slope, balance, peak), then the model's products by phase."""
    roof = next((each for each in result.roofs if (each.device, each.dtype) == (device, dtype)), None)
    held = [row for row in result.rows if (row.device, row.dtype) == (device, dtype) and row.gflops is not None]
    if roof is None or not held:
        return ()
    first = min(*(row.intensity for row in held), roof.balance) / 2
    last = max(*(row.intensity for row in held), roof.balance) * 2
    lines = [Line(name="roof", x=(first, roof.balance, last), y=(first * roof.gb_per_second, roof.peak_gflops, roof.peak_gflops))]
    for phase in dict.fromkeys((row.phase, row.rows) for row in held):
        points = [row for row in held if (row.phase, row.rows) == phase]
        lines.append(
            Line(
                name=f"{phase[0]}, {phase[1]} rows",
                x=tuple(row.intensity for row in points),
                y=tuple(row.gflops or 0.0 for row in points),
                labels=tuple(row.product for row in points),
            )
        )
    return tuple(lines)

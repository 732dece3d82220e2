"""What a machine does: matrix products, memory, and the roofline of a model's products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, computed_field

from core.benchmark.machine.events import BandwidthFigures, ProductRow, Roof, SquareFigures
from core.hardware.surroundings import Surroundings
from core.result import Figure, Figures, Result, Seconds


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
    machine: Surroundings = Surroundings()
    seconds: Seconds
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def metrics(self) -> dict[str, float]:
        """Peaks and bandwidths by device."""
        found = {f"{roof.device} {roof.dtype}.gflops": roof.peak_gflops for roof in self.roofs}
        found |= {f"{each.device}.{each.traffic}_gb_per_second": each.gb_per_second for each in self.bandwidths if each.gb_per_second is not None}
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
    """GFLOP/s by operations per byte, both axes to be logarithmic: the roof (slope, balance, peak), then the model's products by phase."""
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

"""Events of a measurement of the machine folded into what its view shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from core.benchmark.machine.result import BandwidthFigures, BenchmarkMachineResult, ProductRow, Roof, SquareFigures
from core.result import Figures
from core.runs.state.events import Detail, Event
from tui.experiment.progress import RunProgress

Row = TypeVar("Row", bound=Figures)


@dataclass
class MachineProgress(RunProgress):
    """What was measured so far; everything once the run is done and its result was read."""

    squares: list[SquareFigures] = field(default_factory=list)
    bandwidths: list[BandwidthFigures] = field(default_factory=list)
    roofs: list[Roof] = field(default_factory=list)
    rows: list[ProductRow] = field(default_factory=list)
    result: BenchmarkMachineResult | None = None
    """Of a run that is done."""

    def apply(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, Detail):
            match event.kind:
                case "square":
                    self.squares += _read(SquareFigures, event.data)
                case "bandwidth":
                    self.bandwidths += _read(BandwidthFigures, event.data)
                case "roof":
                    self.roofs += _read(Roof, event.data)
                case "product":
                    self.rows += _read(ProductRow, event.data)
            return
        super().apply(event)

    def measured(self) -> BenchmarkMachineResult:
        """The result, or as much of it as there is."""
        return self.result or BenchmarkMachineResult(
            model="",
            devices=(),
            squares=tuple(self.squares),
            bandwidths=tuple(self.bandwidths),
            roofs=tuple(self.roofs),
            rows=tuple(self.rows),
            repeats=0,
            machine={},
            seconds=0.0,
        )


def _read(kind: type[Row], data: Mapping[str, Any]) -> list[Row]:
    """One row, none where it is of another version."""
    try:
        return [kind.model_validate(data)]
    except ValidationError:
        return []

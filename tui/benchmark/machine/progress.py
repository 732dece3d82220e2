"""Events of a measurement of the machine folded into what its view shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.benchmark.machine.events import ROWS, BandwidthFigures, ProductRow, Roof, Row, SquareFigures
from core.benchmark.machine.result import BenchmarkMachineResult
from core.hardware.surroundings import Surroundings
from core.runs.state.events import Detail, Event
from tui.experiment.progress import RunProgress


@dataclass
class MachineProgress(RunProgress):
    """What was measured so far; everything once the run is done and its result was read."""

    rows: list[Row] = field(default_factory=list)
    result: BenchmarkMachineResult | None = None
    """Of a run that is done."""

    def apply(self, event: Event) -> None:
        if not isinstance(event, Detail):
            super().apply(event)
        elif (kind := ROWS.get(event.kind)) is not None and (row := kind.parse(event.data)) is not None:
            self.rows.append(row)

    def measured(self) -> BenchmarkMachineResult:
        """The result, or as much of it as there is."""
        return self.result or BenchmarkMachineResult(
            model="",
            devices=(),
            squares=tuple(row for row in self.rows if isinstance(row, SquareFigures)),
            bandwidths=tuple(row for row in self.rows if isinstance(row, BandwidthFigures)),
            roofs=tuple(row for row in self.rows if isinstance(row, Roof)),
            rows=tuple(row for row in self.rows if isinstance(row, ProductRow)),
            repeats=0,
            machine=Surroundings(),
            seconds=0.0,
        )

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
    """What was measured so far."""

    rows: list[Row] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        if not isinstance(event, Detail):
            super().apply(event)
        elif (kind := ROWS.get(event.kind)) is not None and (row := kind.parse(event.data)) is not None:
            self.rows.append(row)

    def measured(self) -> BenchmarkMachineResult:
        """As much of the result as there is."""
        return BenchmarkMachineResult(
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

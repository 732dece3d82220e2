"""What an export holds, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass

from core.runs.compare.compare import metrics_of
from core.runs.export.report import Report, report_of
from core.runs.figures import figure
from core.runs.state.events import Event, Metric
from core.runs.state.state import State
from core.runs.state.store import Run
from core.sanitize import clean


@dataclass(frozen=True)
class Series:
    """One figure over the course of a run."""

    name: str
    points: tuple[Metric, ...]

    @property
    def title(self) -> str:
        """How the figure is called."""
        return figure(self.name).title


@dataclass(frozen=True)
class Exported:
    """A run, read once."""

    id: str
    capability: str
    model: str
    state: State
    document: dict[str, object]
    """spec.json."""
    result: dict[str, object]
    """result.json, or empty."""
    series: tuple[Series, ...]
    report: Report | None = None
    """What the capability itself says of the result."""

    @property
    def settings(self) -> dict[str, object]:
        """The fields that were asked for."""
        values = self.document.get("spec")
        return values if isinstance(values, dict) else {}

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of the result."""
        return metrics_of(self.result)


def gather(run: Run) -> Exported:
    """Read a run."""
    return Exported(
        id=clean(run.id),
        capability=run.capability,
        model=run.model,
        state=run.state,
        document=run.document,
        result=run.result or {},
        series=_series(run.events),
        report=report_of(run.capability, [(run.id, run.typed_result())]),
    )


def _series(events: list[Event]) -> tuple[Series, ...]:
    points: dict[str, list[Metric]] = {}
    for event in events:
        if isinstance(event, Metric):
            points.setdefault(event.name, []).append(event)
    return tuple(Series(name, tuple(found)) for name, found in points.items())

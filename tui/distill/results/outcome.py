"""What finished distillations of a teacher measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.distill.result import DistillMetrics, DistillResult
from core.distill.spec import DistillSpec
from core.evaluate.comparable import convention_key
from core.runs.state.store import Run
from core.spec import Values
from tui.experiment.finished import of_model as finished_of_model


@dataclass(frozen=True)
class Outcome:
    """One finished distillation."""

    run_id: str
    recipe: str
    """Student and loss, in a few words."""
    values: Values
    result: DistillResult

    @property
    def metrics(self) -> DistillMetrics:
        return self.result.metrics

    @property
    def out(self) -> str:
        return self.result.out

    @property
    def convention(self) -> tuple[str, ...] | None:
        """What must be equal for figures to be comparable; None when nothing was measured."""
        found = self.result.evaluation
        return None if found is None else convention_key(found)


def of_model(runs: Iterable[Run], model: str) -> list[Outcome]:
    """Outcomes of the distillations of a teacher, newest first."""
    return [
        Outcome(found.run.id, found.run.summary.rpartition(", ")[0] or found.run.summary, found.run.values, found.result)
        for found in finished_of_model(runs, DistillSpec.capability, model, DistillResult)
    ]

"""What finished prunings of a model measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from core.errors import LlmoptError
from core.evaluate.comparable import convention_key
from core.models.card import ModelCard
from core.prune.check import check
from core.prune.result import PruneMetrics, PruneResult
from core.prune.spec import PruneSpec
from core.runs.state.store import Run
from core.spec import Values
from tui.experiment.finished import runs_of_model


@dataclass(frozen=True)
class Outcome:
    """One finished pruning."""

    run_id: str
    recipe: str
    """What was asked, in a few words."""
    values: Values
    result: PruneResult
    estimated_memory: int | None = None
    """Bytes at the peak, as they were predicted; None when the model is gone."""

    @property
    def metrics(self) -> PruneMetrics:
        return self.result.metrics

    @property
    def out(self) -> str:
        return self.result.out

    @property
    def convention(self) -> tuple[str, ...] | None:
        """What must be equal for figures to be comparable; None when nothing was measured."""
        found = self.result.evaluation
        return None if found is None else convention_key(found)

    @property
    def cuts(self) -> bool:
        """Whether the model became smaller; masks leave zeros in place."""
        return self.metrics.parameters_after < self.metrics.parameters_before


def read(run: Run, card: ModelCard | None = None) -> Outcome | None:
    """The outcome of a run, None while it has none."""
    result = run.result_as(PruneResult)
    return None if result is None else Outcome(run.id, run.summary, run.values, result, None if card is None else _estimate(run, card))


def of_model(runs: Iterable[Run], model: str, card: ModelCard | None = None) -> list[Outcome]:
    """Outcomes of the prunings of a model, newest first; with its card the estimates stand next to what was measured."""
    return [found for run in runs_of_model(runs, PruneSpec.capability, model) if (found := read(run, card)) is not None]


def _estimate(run: Run, card: ModelCard) -> int | None:
    try:
        return check(PruneSpec.model_validate({**run.values, "out": None}), card).peak_memory_bytes
    except (LlmoptError, ValidationError):
        return None

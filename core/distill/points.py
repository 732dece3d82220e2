"""What a finished distillation contributes to the Pareto front of its teacher."""

from __future__ import annotations

from collections.abc import Iterator

from core.distill.compare.result import DistillCompareResult
from core.distill.naming import recipe_name
from core.distill.result import DistillResult
from core.distill.spec import DistillSpec
from core.errors import LlmoptError
from core.runs.pareto import Candidate
from core.runs.state.store import Run


def of_run(run: Run) -> Iterator[Candidate]:
    """The one student of a run."""
    if (result := run.result_as(DistillResult)) is not None:
        yield Candidate(_title(run, result), "distill", result.metrics.model_dump(), result.evaluation)


def of_comparison(run: Run) -> Iterator[Candidate]:
    """Every row. Its checkpoint was only measured."""
    if (result := run.result_as(DistillCompareResult)) is not None:
        size = {"bytes_after": result.bytes, "bits_per_weight": result.bits_per_weight}
        for row in result.rows:
            title = f"{100 * result.parameters / result.parameters_teacher:.0f}%-{row.name}"
            yield Candidate(title, "distill", row.model_dump() | size, result.evaluation, checkpoint=False)


def _title(run: Run, result: DistillResult) -> str:
    try:
        spec = run.spec
    except LlmoptError:
        spec = None
    parameters = f"{100 * result.metrics.parameters_ratio:.0f}%"
    return f"{parameters}-{recipe_name(spec) if isinstance(spec, DistillSpec) else result.objective}"

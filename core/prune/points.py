"""What a finished pruning contributes to the Pareto front of its model."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import LlmoptError
from core.prune.compare.result import PruneCompareResult
from core.prune.naming import scheme_name
from core.prune.result import PruneResult
from core.prune.spec import PruneSpec
from core.runs.pareto import Candidate
from core.runs.state.store import Run


def of_run(run: Run) -> Iterator[Candidate]:
    """The one pruned model of a run."""
    if (result := run.result_as(PruneResult)) is not None:
        yield Candidate(_title(run, result), result.method, result.metrics.model_dump(), result.evaluation)


def of_comparison(run: Run) -> Iterator[Candidate]:
    """Every row. Its checkpoint was only measured."""
    if (result := run.result_as(PruneCompareResult)) is not None:
        for row in result.rows:
            yield Candidate(row.name, row.method, row.model_dump() | {"bytes_after": row.bytes}, result.evaluation, checkpoint=False)


def _title(run: Run, result: PruneResult) -> str:
    try:
        spec = run.spec
    except LlmoptError:
        spec = None
    return scheme_name(spec) if isinstance(spec, PruneSpec) else f"{result.method}-{result.pattern}"

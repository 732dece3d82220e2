"""What a finished quantization, or a comparison of several, contributes to the Pareto front of its model."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import LlmoptError
from core.quantize.compare.result import QuantizeCompareResult
from core.quantize.naming import scheme_name
from core.quantize.result import QuantizeResult
from core.quantize.spec import QuantizeSpec
from core.runs.pareto import Candidate
from core.runs.state.store import Run


def of_run(run: Run) -> Iterator[Candidate]:
    """The one quantization of a run."""
    if (result := run.result_as(QuantizeResult)) is not None:
        yield Candidate(_title(run, result), result.method, result.metrics.model_dump(), result.evaluation)


def of_comparison(run: Run) -> Iterator[Candidate]:
    """Every row."""
    if (result := run.result_as(QuantizeCompareResult)) is not None:
        for row in result.rows:
            yield Candidate(row.title, row.method, row.model_dump() | {"bytes_after": row.bytes}, result.evaluation)


def _title(run: Run, result: QuantizeResult) -> str:
    """By what was asked; a request that this version cannot read is called by its method and its bits."""
    try:
        spec = run.spec
    except LlmoptError:
        spec = None
    return scheme_name(spec) if isinstance(spec, QuantizeSpec) else f"{result.method}-w{result.bits}"

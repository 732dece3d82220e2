"""What a finished quantization, or a comparison of several, contributes to the Pareto front of its model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from core.errors import LlmoptError
from core.quantize.compare.result import CompareRow, QuantizeCompareResult
from core.quantize.compare.spec import QuantizeCompareSpec, Variant
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
    """Every row. Its checkpoint was only measured."""
    if (result := run.result_as(QuantizeCompareResult)) is not None:
        spec = run.spec_as(QuantizeCompareSpec) or QuantizeCompareSpec.model_construct(model=run.model)
        for row in result.rows:
            yield Candidate(_title_of(spec, row), row.method, row.model_dump() | {"bytes_after": row.bytes}, result.evaluation, checkpoint=False)


def _title_of(spec: QuantizeCompareSpec, row: CompareRow) -> str:
    """What a run of the same recipe is called; a row that no request amounts to keeps the name that the comparison gave it."""
    sized = spec if row.group_size is None else spec.model_copy(update={"group_size": row.group_size})
    inputs: Literal[8, 16] = 8 if row.activation_bits == 8 else 16
    try:
        same = sized.of(Variant(row.method, row.bits, row.granularity, row.fp8_format, inputs))
        return scheme_name(same if row.fp8_format is None else same.model_copy(update={"fp8_format": row.fp8_format}))
    except ValueError:
        return row.title


def _title(run: Run, result: QuantizeResult) -> str:
    """By what was asked; a request that this version cannot read is called by its method and its bits."""
    try:
        spec = run.spec
    except LlmoptError:
        spec = None
    return scheme_name(spec) if isinstance(spec, QuantizeSpec) else f"{result.method}-w{result.bits}"

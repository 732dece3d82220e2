"""`llmopt benchmark`: load-test a server and say what it showed."""

from __future__ import annotations

from core.benchmark.analysis.baseline import compare_to_baseline
from core.benchmark.documents import load_result
from core.benchmark.drive.measure import measure_target
from core.benchmark.result import BenchmarkResult
from core.benchmark.spec import BenchmarkSpec
from core.context import RunContext
from core.errors import Cancelled, RunFailed


def run(spec: BenchmarkSpec, context: RunContext) -> BenchmarkResult:
    """Measure the target, and compare it with the baseline.

    Raises:
        RequestError: the server, the model, the texts, the baseline or an expression is not what it should be.
        RunFailed, Cancelled: as `measure_target`.
    """
    baseline = None if spec.baseline is None else load_result(spec.baseline)
    try:
        return compare_to_baseline(baseline, measure_target(spec, context))
    except (Cancelled, RunFailed) as ended:
        if isinstance(ended.result, BenchmarkResult):
            ended.result = compare_to_baseline(baseline, ended.result)
        raise

"""Results of benchmarks for others: one or several, as tables, charts, CSV and JSON.

May import results, `analysis`, `metrics` and `core.runs.export`. Never the network and never a run in progress.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.report.charts import charts
from core.benchmark.report.document import document
from core.benchmark.report.named import Named
from core.benchmark.report.tables import sentences, tables
from core.benchmark.report.tidy import rows, sample_rows
from core.benchmark.result import BenchmarkResult
from core.runs.export.report import Report
from core.sanitize import clean


def report(named: Sequence[tuple[str, BenchmarkResult]]) -> Report:
    """The report of results, each with the name of its run."""
    results = [Named(clean(name), result) for name, result in named]
    return Report(
        title=_title(results),
        sentences=sentences(results),
        tables=tuple(tables(results)),
        charts=lambda: charts(results),
        values=lambda: rows(results),
        samples=lambda: sample_rows(results),
        document=lambda: document(results),
    )


def _title(results: Sequence[Named]) -> str:
    """Names the model that each run was about, of which a comparison measures several formats."""
    models = dict.fromkeys(clean(entry.model, limit=80) for named in results for entry in named.result.entries[:1])
    targets = sum(len(named.result.entries) for named in results)
    return f"Benchmark of {', '.join(models)}" + (f" on {targets} targets" if targets > len(models) else "")

"""Several results as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence

from core import __version__
from core.benchmark.analysis.comparison import Compared
from core.benchmark.report.named import Named, compare_rows, targets

SCHEMA = "llmopt.benchmark-report/1"


def document(results: Sequence[Named]) -> dict[str, object]:
    """Every result with its raw values, and every target against the first."""
    first, *others = targets(results)
    return {
        "schema": SCHEMA,
        "llmopt_version": __version__,
        "results": [{"run": named.run, "result": named.result.model_dump(mode="json")} for named in results],
        "comparison": [
            {"target": other.title, "against": first.title, "aspects": {each.aspect.key: _aspect(each) for each in compare_rows(other, first)}}
            for other in others
        ],
    }


def _aspect(found: Compared) -> dict[str, object]:
    return {
        "unit": found.aspect.unit,
        "value": found.value,
        "against": found.against,
        "ratio": found.ratio,
        "low": found.low,
        "high": found.high,
        "beyond_noise": found.beyond_noise,
        "verdict": found.verdict,
    }

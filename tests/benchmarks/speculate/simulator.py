"""The simulator beside the stop-watch: every drafter at several gammas and temperatures, predicted from acceptance and costs, and measured.

A prediction takes what the rounds accepted and the costs c and v, which are measured apart from the passes whose speed-up it is held against.
The bar is on the worst of all settings. Medusa heads are trained first, for two minutes, where none are kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.speculate.result import SpeculateResult
from core.speculate.run import run
from core.speculate.spec import SpeculateSpec
from tests.benchmarks.report import Bar, record
from tests.core.conftest import RecordingContext

SETTINGS: dict[str, dict[str, Any]] = {
    "draft_model": {"drafter": "model", "draft": "bundled:draft", "gamma": (2, 4, 7), "temperature": (0.0, 0.8)},
    "lookup_editing": {"drafter": "lookup", "gamma": (4, 10), "temperature": (0.0,), "task": "edit"},
    "lookup": {"drafter": "lookup", "gamma": (4,), "temperature": (0.0, 0.8)},
    "layers": {"drafter": "layers", "gamma": (2, 4), "temperature": (0.0,)},
    "medusa": {"drafter": "medusa", "gamma": (2, 4), "temperature": (0.0, 0.8)},
}
WITHIN = 0.15
BARS: dict[str, Bar] = {"worst_relative_error": ("<=", WITHIN), "settings": (">=", 10)}


def measured(names: list[str], common: dict[str, Any]) -> Iterator[tuple[str, SpeculateResult]]:
    """The result of each group of settings."""
    for name in names:
        with tempfile.TemporaryDirectory(prefix="llmopt-simulator-") as folder:
            yield name, run(SpeculateSpec.model_validate({"model": "bundled:base"} | common | SETTINGS[name]), RecordingContext(Path(folder)))


def main() -> bool:
    """Measure, predict, print and record."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks simulator", description=__doc__)
    parser.add_argument("--drafters", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--prompts", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="cores; 0: all")
    arguments = parser.parse_args()
    common = {"prompts": arguments.prompts, "tokens": arguments.tokens, "repeats": arguments.repeats, "threads": arguments.threads}
    figures: dict[str, object] = {}
    errors: list[float] = []
    for name, result in measured(arguments.drafters, common):
        for row in result.rows:
            setting = f"{name}_gamma_{row.gamma}_temperature_{row.temperature:g}"
            error = row.predicted_speedup / row.speedup - 1
            errors.append(abs(error))
            figures[f"speedup_{setting}"] = row.speedup
            figures[f"predicted_{setting}"] = row.predicted_speedup
            figures[f"relative_error_{setting}"] = error
    figures |= {"settings": len(errors), "worst_relative_error": max(errors), "mean_relative_error": sum(errors) / len(errors)}
    return record("simulator", figures, BARS)


if __name__ == "__main__":
    sys.exit(not main())

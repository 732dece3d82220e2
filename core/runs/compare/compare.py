"""Runs side by side: what was asked differently, what was measured differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.evaluate.comparable import incomparable_reasons
from core.result import Better
from core.runs.compare.differences import Difference, differences_of
from core.runs.figures import figure, numbers
from core.runs.state.store import Run

_NOT_FIGURES = {"seed"}


@dataclass(frozen=True)
class Setting:
    """A field that was not asked alike; a run that has no such field holds None."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Measure:
    """One figure of every run."""

    name: str
    title: str
    better: Better
    values: tuple[float | None, ...]

    @property
    def ratios(self) -> tuple[float | None, ...]:
        """Every value against the first run's."""
        first = self.values[0]
        return tuple(None if value is None or not first else value / first for value in self.values)

    @property
    def best(self) -> int | None:
        """Index of the best run, when there is a better way and the runs differ."""
        known = [(value, index) for index, value in enumerate(self.values) if value is not None]
        if not self.better or len({value for value, _ in known}) < 2:
            return None
        return (min if self.better == "lower" else max)(known, key=lambda pair: pair[0])[1]


@dataclass(frozen=True)
class Comparison:
    """Two or more runs."""

    ids: tuple[str, ...]
    statuses: tuple[str, ...]
    settings: tuple[Setting, ...]
    measures: tuple[Measure, ...]
    warnings: tuple[str, ...]
    """Why figures may not be set against each other."""
    differences: tuple[tuple[Difference, ...], ...] = ()
    """Of each run but the first, against the first: what differs beyond noise and what does not, where the runs tell."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "runs": [{"run": run_id, "status": status} for run_id, status in zip(self.ids, self.statuses, strict=True)],
            "settings": {setting.name: list(setting.values) for setting in self.settings},
            "metrics": {
                measure.name: {"values": list(measure.values), "ratios": list(measure.ratios), "better": measure.better, "best": measure.best}
                for measure in self.measures
            },
            "differences": [[difference.to_json() for difference in found] for found in self.differences],
            "warnings": list(self.warnings),
        }


def compare(runs: Sequence[Run]) -> Comparison:
    """Set runs side by side. Raises RequestError: fewer than two runs."""
    if len(runs) < 2:
        raise RequestError("compare needs two or more runs: `llmopt runs list` shows them")
    results = [run.result or {} for run in runs]
    others = [differences_of(run, runs[0]) for run in runs[1:]]
    return Comparison(
        ids=tuple(run.id for run in runs),
        statuses=tuple(run.state.status for run in runs),
        settings=tuple(_settings([{"capability": run.capability} | run.values for run in runs])),
        measures=tuple(_measures([metrics_of(result) for result in results])),
        warnings=(*_warnings(runs, results), *dict.fromkeys(warning for other in others for warning in other.warnings)),
        differences=tuple(other.found for other in others),
    )


def metrics_of(result: dict[str, Any]) -> dict[str, float]:
    """The figures of a result: what is under `metrics`, else its numbers at the top."""
    metrics = result.get("metrics")
    if isinstance(metrics, dict):
        return dict(numbers(metrics))
    return {name: value for name, value in result.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def _settings(specs: list[dict[str, Any]]) -> Iterator[Setting]:
    for name in dict.fromkeys(name for values in specs for name in values):
        values = tuple(spec.get(name) for spec in specs)
        if any(value != values[0] for value in values):
            yield Setting(name, values)


def _measures(results: list[dict[str, float]]) -> Iterator[Measure]:
    for name in dict.fromkeys(name for result in results for name in result):
        if name not in _NOT_FIGURES:
            entry = figure(name)
            yield Measure(name, entry.title, entry.better, tuple(result.get(name) for result in results))


def _warnings(runs: Sequence[Run], results: list[dict[str, Any]]) -> Iterator[str]:
    for run, result in zip(runs, results, strict=True):
        if not result:
            yield f"run {run.id} has no result ({run.state.status})"
    conventions = [result["evaluation"] for result in results if isinstance(result.get("evaluation"), dict)]
    yield from incomparable_reasons(conventions)[:1]

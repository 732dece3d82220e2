"""Runs side by side: what was asked differently, what was measured differently."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import RequestError
from core.evaluate.comparable import incomparable_reasons
from core.result import Better
from core.runs.compare.differences import Difference, Differences, differences_of
from core.runs.compare.noise import EVALUATED, margin
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
    margins: tuple[float, ...] = ()
    """How far each may be off by chance; none: no figure is."""
    differs: tuple[bool | None, ...] = ()
    """Whether each differs from the first beyond noise, by the values of single requests; False where they are too few, None where none are kept."""

    @property
    def ratios(self) -> tuple[float | None, ...]:
        """Every value against the first run's."""
        first = self.values[0]
        return tuple(None if value is None or not first else value / first for value in self.values)

    @property
    def best(self) -> int | None:
        """Index of the best run, when there is a better way and it is better than every other beyond noise."""
        known = [(value, index) for index, value in enumerate(self.values) if value is not None]
        if not self.better or len(known) < 2:
            return None
        best, at = (min if self.better == "lower" else max)(known, key=lambda pair: pair[0])
        if False in (self.differs if at == 0 else self.differs[at : at + 1]):
            return None
        margins = self.margins or (0.0,) * len(self.values)
        return at if all(abs(value - best) > math.hypot(margins[index], margins[at]) for value, index in known if index != at) else None

    @property
    def within_noise(self) -> bool:
        """Whether there is a better way and the values differ, but by no more than noise."""
        return bool(self.better) and self.best is None and len({value for value in self.values if value is not None}) > 1


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
    conventions = [result["evaluation"] for result in results if isinstance(result.get("evaluation"), dict)]
    unlike = incomparable_reasons(conventions)
    return Comparison(
        ids=tuple(run.id for run in runs),
        statuses=tuple(run.state.status for run in runs),
        settings=tuple(_settings([{"capability": run.capability} | run.values for run in runs])),
        measures=tuple(_measures([metrics_of(result) for result in results], others, comparable=not unlike)),
        warnings=(*_without_result(runs, results), *unlike[:1], *dict.fromkeys(warning for other in others for warning in other.warnings)),
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


def _measures(results: list[dict[str, float]], others: Sequence[Differences], *, comparable: bool) -> Iterator[Measure]:
    for name in dict.fromkeys(name for result in results for name in result):
        if name not in _NOT_FIGURES:
            entry = figure(name)
            better = entry.better if comparable or name.rpartition(".")[2] not in EVALUATED else ""
            margins = tuple(margin(name, result) if name in result else 0.0 for result in results)
            judged = [next((each.beyond_noise is True for each in other.found if each.figure == name), None) for other in others]
            yield Measure(name, entry.title, better, tuple(result.get(name) for result in results), margins, (None, *judged))


def _without_result(runs: Sequence[Run], results: list[dict[str, Any]]) -> Iterator[str]:
    for run, result in zip(runs, results, strict=True):
        if not result:
            yield f"run {run.id} has no result ({run.state.status})"

"""A result held against an earlier one: what got worse beyond noise is a threshold that was not met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from core.benchmark.analysis.comparison import Compared, compare_quality, compare_samples, incomparable_reasons, pairs_of
from core.benchmark.result import BenchmarkResult, Threshold

R = TypeVar("R", bound=BenchmarkResult)


def compare_to_baseline(baseline: BenchmarkResult | None, result: R) -> R:
    """The result with what it is against a baseline: thresholds, one per aspect and entry, and why the two are not alike.

    Worse beyond noise is not passed; what is not known, as there are too few requests, is neither passed nor not.
    """
    if baseline is None:
        return result
    pairs = pairs_of(result, baseline)
    if not pairs:
        nothing = Threshold(expression="baseline", value=None, passed=None, words="no target of the baseline was measured")
        return result.model_copy(update={"thresholds": (*result.thresholds, nothing)})
    found: list[Threshold] = []
    for entry, before in pairs:
        compared = compare_samples(result.samples.get(entry.name, {}), baseline.samples.get(before.name, {}))
        quality = compare_quality(entry.quality, before.quality)
        found += _thresholds((*compared, *(() if quality is None else (quality,))), entry.name if len(pairs) > 1 else "")
    return result.model_copy(
        update={"thresholds": (*result.thresholds, *found), "warnings": (*result.warnings, *incomparable_reasons(result, baseline))}
    )


def _thresholds(compared: Sequence[Compared], name: str) -> list[Threshold]:
    return [
        Threshold(
            expression=f"{f'{name}: ' if name else ''}{each.aspect.key} no worse than the baseline",
            value=each.value,
            unit=each.aspect.unit,
            passed=None if each.beyond_noise is None else each.verdict != "worse",
            words=each.words,
        )
        for each in compared
    ]

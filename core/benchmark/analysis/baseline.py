"""A result held against an earlier one: what got worse beyond noise is a threshold that was not met."""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.analysis.comparison import Compared, compare_quality, compare_samples, pairs_of, unlike
from core.benchmark.result import BenchmarkResult, Threshold


def compare_to_baseline(baseline: BenchmarkResult, result: BenchmarkResult) -> tuple[tuple[Threshold, ...], tuple[str, ...]]:
    """Thresholds, one an aspect and entry, and warnings.

    Worse beyond noise is not passed; what cannot be told, as there are too few requests, is neither passed nor not.
    """
    pairs = pairs_of(result, baseline)
    if not pairs:
        return (Threshold(expression="baseline", value=None, passed=None, words="no target of the baseline was measured"),), ()
    found: list[Threshold] = []
    for entry, before in pairs:
        compared = compare_samples(result.samples.get(entry.name, {}), baseline.samples.get(before.name, {}))
        quality = compare_quality(entry.quality, before.quality)
        found += _thresholds((*compared, *(() if quality is None else (quality,))), entry.name if len(pairs) > 1 else "")
    return tuple(found), unlike(result, baseline)


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

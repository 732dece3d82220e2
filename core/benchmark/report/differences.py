"""Two results compared, for `llmopt runs compare`."""

from __future__ import annotations

from core.benchmark.analysis.comparison import BETWEEN_LOADS, compare_quality, compare_samples, incomparable_reasons, pairs_of
from core.benchmark.result import BenchmarkResult
from core.runs.compare.differences import Difference, Differences
from core.sanitize import clean


def differences(one: BenchmarkResult, other: BenchmarkResult) -> Differences:
    """Which latencies and speeds differ beyond noise, by the raw values of the requests."""
    pairs = pairs_of(one, other)
    found = [
        Difference(
            name=f"{f'{clean(entry.name, limit=60)}: ' if len(pairs) > 1 else ''}{each.aspect.title}",
            ratio=each.ratio,
            low=each.low,
            high=each.high,
            beyond_noise=each.beyond_noise,
            words=each.words,
            figure=f"{each.aspect.key.replace('.', '_')}_ms" if len(pairs) == 1 and each.aspect.unit == "ms" else "",
        )
        for entry, before in pairs
        for each in (
            *compare_samples(one.samples.get(entry.name, {}), other.samples.get(before.name, {})),
            compare_quality(entry.quality, before.quality),
        )
        if each is not None and each.ratio is not None
    ]
    return Differences(tuple(found), (*incomparable_reasons(one, other), BETWEEN_LOADS) if found else incomparable_reasons(one, other))

"""Two results set beside each other, for `llmopt runs compare`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.benchmark.analysis.comparison import BETWEEN_LOADS, compare_quality, compare_samples, pairs_of, unlike
from core.benchmark.documents import parse_result
from core.runs.compare.differences import Difference, Differences
from core.sanitize import clean


def differences(result: Mapping[str, Any], against: Mapping[str, Any]) -> Differences:
    """Which latencies and speeds differ beyond noise, by the raw values of the requests.

    Raises:
        RequestError: one of them is not the result of a benchmark.
    """
    one, other = parse_result(result, "the run"), parse_result(against, "the run that it is compared with")
    pairs = pairs_of(one, other)
    found = [
        Difference(
            name=f"{f'{clean(entry.name, limit=60)}: ' if len(pairs) > 1 else ''}{each.aspect.title}",
            ratio=each.ratio,
            low=each.low,
            high=each.high,
            beyond_noise=each.beyond_noise,
            words=each.words,
        )
        for entry, before in pairs
        for each in (
            *compare_samples(one.samples.get(entry.name, {}), other.samples.get(before.name, {})),
            compare_quality(entry.quality, before.quality),
        )
        if each is not None and each.ratio is not None
    ]
    return Differences(tuple(found), (*unlike(one, other), BETWEEN_LOADS) if found else unlike(one, other))

"""Results with the names of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.benchmark.analysis.comparison import Compared, Samples, compare_answers, compare_quality, compare_samples
from core.benchmark.result import BenchmarkEntry, BenchmarkResult, Timeline
from core.sanitize import clean


@dataclass(frozen=True)
class Named:
    """One result."""

    run: str
    result: BenchmarkResult


@dataclass(frozen=True)
class Row:
    """One target of one result."""

    run: str
    title: str
    """Fit to be shown, unlike that of every other row."""
    entry: BenchmarkEntry
    samples: Samples
    timeline: Timeline | None = None
    """Every request, of results that keep them."""


def targets(results: Sequence[Named]) -> list[Row]:
    """Every target; two of the same name are distinguished by their runs."""
    names = [entry.name for named in results for entry in named.result.entries]
    found = []
    for named in results:
        for entry in named.result.entries:
            title = clean(entry.name, limit=80)
            if names.count(entry.name) > 1:
                title = f"{title} ({named.run})"
            found.append(Row(named.run, title, entry, named.result.samples.get(entry.name, {}), named.result.timelines.get(entry.name)))
    return found


def compare_rows(row: Row, against: Row) -> tuple[Compared, ...]:
    """Every aspect of a target over that of another: latencies and speeds by their requests, perplexity by its tokens."""
    one, other = row.entry.quality, against.entry.quality
    qualities = (compare_quality(one, other), compare_answers(one, other))
    return (*compare_samples(row.samples, against.samples), *(each for each in qualities if each is not None))

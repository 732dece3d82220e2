"""The charts of a report: a sweep's latency against its throughput, distributions of latencies, ranked bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from core.benchmark.metrics import BY_TAG
from core.benchmark.report.course import courses
from core.benchmark.report.named import Named, Row, targets
from core.benchmark.result import BenchmarkEntry
from core.measure.units import number, size
from core.runs.export.svg import Point, bar_chart, line_chart

Chart = tuple[str, str]
_SHARES = np.concatenate((np.linspace(0, 98, 50), [99.0]))
_DISTRIBUTIONS: Final = ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")
_OF_REQUESTS: Final = ("ttft_ms", "tpot_ms", "e2el_ms")


def _title(tag: str) -> str:
    title = BY_TAG[tag].title
    return title[:1].upper() + title[1:]


def _median(tag: str) -> Callable[[BenchmarkEntry], float | None]:
    def read(entry: BenchmarkEntry) -> float | None:
        return entry.shown.metrics[tag].p50 if tag in entry.shown.metrics else None

    return read


_RANKED: Final[tuple[tuple[str, str, Callable[[BenchmarkEntry], float | None], bool], ...]] = (
    ("Throughput, highest first", "token/s", lambda entry: entry.throughput_tokens_per_second, False),
    *((f"{_title(tag)}, p50, lowest first", "ms", _median(tag), True) for tag in _OF_REQUESTS),
    ("Memory of the server, least first", "bytes", lambda entry: entry.server.gpu_bytes or entry.server.host_bytes, True),
    ("Weights on disk, smallest first", "bytes", lambda entry: entry.model_bytes, True),
    ("Goodput, highest first", "request/s", lambda entry: entry.goodput_requests_per_second, False),
    ("Tokens per joule, most first", "token/J", lambda entry: entry.server.tokens_per_joule, False),
    ("Cost per million tokens, lowest first", "cost", lambda entry: entry.cost_per_million_tokens, True),
    ("Perplexity, lowest first", "perplexity", lambda entry: entry.quality.ppl, True),
    ("Divergence from the reference, lowest first", "nat", lambda entry: entry.quality.kl_mean, True),
    ("Questions answered correctly, most first", "share", lambda entry: entry.quality.accuracy, False),
)


def charts(results: Sequence[Named]) -> Iterator[Chart]:
    """(title, SVG) of every chart that has something to show."""
    rows = targets(results)
    yield from _sweeps([row for row in rows if len(row.entry.levels) > 1])
    if len(rows) > 1:
        yield from _ranks(rows)
    yield from _distributions(rows)
    yield from courses(rows)


def _sweeps(rows: Sequence[Row]) -> Iterator[Chart]:
    for tag in _OF_REQUESTS:
        title = _title(tag)
        lines = [(f"{row.title}, {name}", _sweep(row.entry, tag, level)) for row in rows for name, level in (("p50", 50.0), ("p95", 95.0))]
        drawn = [(name, line) for name, line in lines if len(line) > 1]
        if drawn:
            yield f"{title} against throughput", line_chart(drawn, x="token/s", y=f"{title}, ms", show=number)


def _sweep(entry: BenchmarkEntry, tag: str, percentile: float) -> list[Point]:
    found = []
    for level in entry.levels:
        figure, speed = level.metrics.get(tag), level.throughput_tokens_per_second
        value = None if figure is None else figure.at(percentile)
        if value is not None and speed is not None:
            knee = ", the knee" if level.level == entry.knee else ""
            found.append(Point(speed, value, f"level {level.level or 0:g}{knee}: {number(speed)} token/s, {number(value)} ms"))
    return found


def _distributions(rows: Sequence[Row]) -> Iterator[Chart]:
    for tag in _DISTRIBUTIONS:
        lines = [(row.title, _shares(row.samples[tag])) for row in rows if len(row.samples.get(tag, ())) > 1]
        if lines:
            chart = line_chart(lines, x=f"{_title(tag)}, ms", y="percent that took at most this long, to p99", show=number)
            yield f"Distribution: {BY_TAG[tag].title}", chart


def _shares(values: Sequence[float]) -> list[Point]:
    """The empirical distribution up to p99, so that one late request does not press all others together."""
    found = np.percentile(np.asarray(values, dtype=np.float64), _SHARES, method="inverted_cdf")
    return [Point(float(value), float(share), f"p{share:g}: {number(float(value))} ms") for share, value in zip(_SHARES, found, strict=True)]


def _ranks(rows: Sequence[Row]) -> Iterator[Chart]:
    for title, unit, figure, lowest in _RANKED:
        bars = [(row.title, value) for row in rows if (value := figure(row.entry)) is not None]
        if len(bars) > 1:
            bars.sort(key=lambda bar: bar[1] if lowest else -bar[1])
            show = size if unit == "bytes" else number
            scale = _byte_unit(max(value for _, value in bars)) if unit == "bytes" else 1.0
            yield title, bar_chart(bars, y=unit, show=show, unit=scale)


def _byte_unit(most: float) -> float:
    return float(1024 ** max(int(np.log2(most)) // 10, 0)) if most >= 1 else 1.0

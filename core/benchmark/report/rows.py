"""Results as tidy tables: a line a target and level, and a line a raw value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from core.benchmark.metrics import OF_REQUEST, SAMPLES
from core.benchmark.percentiles import LEVELS
from core.benchmark.report.named import Named
from core.benchmark.result import BenchmarkEntry, Level, RequestCounts, SampleFigure

_OF_ENTRY: Final = ("engine", "engine_version", "model", "served_model", "url")
_OF_LEVEL: Final = (
    "seconds",
    "throughput_tokens_per_second",
    "throughput_requests_per_second",
    "throughput_total_tokens_per_second",
    "goodput_requests_per_second",
    "error_rate",
    "timeout_rate",
    "achieved_rate",
    "meets_objectives",
)
_OF_SAMPLE: Final = ("n", "mean", "deviation", "least", "most")
_OF_SERVER: Final = ("host_bytes", "gpu_bytes", "peak_running", "peak_waiting", "peak_kv_usage", "prefix_hit_rate", "acceptance", "tokens_per_joule")
_OF_QUALITY: Final = ("ppl", "kl_mean", "correct", "questions")
_UNITS: Final = {metric.tag: metric.unit for metric in (*SAMPLES, *OF_REQUEST)}


def rows(results: Sequence[Named]) -> Iterator[tuple[Any, ...]]:
    """A header, then a line a target and level; the unit of a column stands at the end of its name."""
    counts = tuple(RequestCounts.model_fields)
    of_metrics = [f"{metric.tag}.{part}" for metric in SAMPLES for part in (*_OF_SAMPLE, *(f"p{level:g}" for level in LEVELS))]
    of_target = ("model_bytes", "cost_per_million_tokens", "client_lag_ms", *_OF_SERVER, *_OF_QUALITY)
    yield ("run", "target", *_OF_ENTRY, "level", "is_knee", *counts, *_OF_LEVEL, *of_metrics, *of_target)
    for named in results:
        for entry in named.result.entries:
            for level in entry.levels:
                yield (named.run, *_line(entry, level, counts))


def _line(entry: BenchmarkEntry, level: Level, counts: tuple[str, ...]) -> Iterator[Any]:
    yield entry.name
    yield from (getattr(entry, name) for name in _OF_ENTRY)
    yield level.level
    yield None if level.level is None else level.level == entry.knee
    yield from (getattr(level.requests, name) for name in counts)
    yield from (getattr(level, name) for name in _OF_LEVEL)
    for metric in SAMPLES:
        yield from _figures(level.metrics.get(metric.tag))
    yield from (entry.model_bytes, entry.cost_per_million_tokens, entry.client_lag_ms)
    yield from (getattr(entry.server, name) for name in _OF_SERVER)
    yield from (getattr(entry.quality, name) for name in _OF_QUALITY)


def _figures(figure: SampleFigure | None) -> Iterator[Any]:
    yield from (None if figure is None else getattr(figure, name) for name in _OF_SAMPLE)
    yield from (None if figure is None else figure.at(level) for level in LEVELS)


def sample_rows(results: Sequence[Named]) -> Iterator[tuple[Any, ...]]:
    """A header, then a line a raw value, in the order of the requests; of a sweep the levels stand behind `@`."""
    yield ("run", "target", "metric", "unit", "index", "value")
    for named in results:
        for target, of_target in named.result.samples.items():
            for tag, values in of_target.items():
                for index, value in enumerate(values):
                    yield (named.run, target, tag, _UNITS.get(tag, ""), index, value)

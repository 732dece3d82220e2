"""Results as tidy tables: a line a target and level, and a line a raw value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from core.benchmark.metrics import BY_TAG, SAMPLES
from core.benchmark.report.named import Named
from core.benchmark.result import BenchmarkEntry, Level, Quality, RequestCounts, SampleFigure, ServerReport
from core.measure.percentiles import LEVELS

_OF_ENTRY: Final = ("engine", "engine_version", "model", "served_model", "url")
_OF_LEVEL: Final = (
    "seconds",
    "window",
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
_OF_TARGET: Final = (
    "highest_meeting",
    "token_counts",
    "prompt_tokens",
    "completion_tokens",
    "retries",
    "connections",
    "model_bytes",
    "cost_per_million_tokens",
    "client_lag_ms",
)
_OF_SERVER: Final = tuple(ServerReport.model_fields)
_OF_QUALITY: Final = (*(name for name in Quality.model_fields if name not in {"words", "tokens", "losses"}), "accuracy")
_OF_REQUEST: Final = ("due", "sent", "first", "last")
_PERCENTILES: Final = tuple(f"p{level:g}{part}" for level in LEVELS for part in ("", "_low", "_high"))


def rows(results: Sequence[Named]) -> Iterator[tuple[Any, ...]]:
    """A header, then a line a target and level; the unit of a column is at the end of its name."""
    counts = tuple(RequestCounts.model_fields)
    of_metrics = [f"{metric.tag}.{part}" for metric in SAMPLES for part in (*_OF_SAMPLE, *_PERCENTILES)]
    of_target = (*_OF_TARGET, *_OF_SERVER, *_OF_QUALITY)
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
    yield from (getattr(entry, name) for name in _OF_TARGET)
    yield from (getattr(entry.server, name) for name in _OF_SERVER)
    yield from (getattr(entry.quality, name) for name in _OF_QUALITY)


def _figures(figure: SampleFigure | None) -> Iterator[Any]:
    yield from (None if figure is None else getattr(figure, name) for name in _OF_SAMPLE)
    held = {each.level: each for each in figure.percentiles} if figure is not None else {}
    for level in LEVELS:
        found = held.get(level)
        yield from (None, None, None) if found is None else (found.value, found.low, found.high)


def sample_rows(results: Sequence[Named]) -> Iterator[tuple[Any, ...]]:
    """A header, then a line a raw value, in the order of the requests; of a sweep the levels stand behind `@`.

    What a request was is under `request.` with the number of the request: its times in seconds from the beginning, its tokens, its status.
    """
    yield ("run", "target", "metric", "unit", "index", "value")
    for named in results:
        for target, of_target in named.result.samples.items():
            for tag, values in of_target.items():
                for index, value in enumerate(values):
                    yield (named.run, target, tag, BY_TAG[tag].unit if tag in BY_TAG else "", index, value)
        for target, timeline in named.result.timelines.items():
            for name in _OF_REQUEST:
                for index, moment in enumerate(getattr(timeline, name)):
                    yield (named.run, target, f"request.{name}", "s", index, moment)
            for index, (tokens, status, measured) in enumerate(zip(timeline.tokens, timeline.status, timeline.measured, strict=True)):
                yield (named.run, target, "request.tokens", "token", index, tokens)
                yield (named.run, target, "request.status", "", index, status)
                yield (named.run, target, "request.measured", "", index, measured)

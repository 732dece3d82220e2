"""The tables of a report, rows of safe texts; the command line prints them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from core.benchmark.analysis.comparison import BETWEEN_LOADS, incomparable_reasons
from core.benchmark.compare.recommend import margin_words
from core.benchmark.compare.result import BenchmarkCompareResult
from core.benchmark.metrics import SAMPLES
from core.benchmark.report.definitions import definitions
from core.benchmark.report.named import Named, Row, compare_rows, targets
from core.benchmark.result import BenchmarkEntry, PercentileFigure, Quality, RequestCounts, SampleFigure, Threshold
from core.measure.percentiles import LEVELS
from core.measure.units import number, percent, size
from core.runs.export.report import Cells, Table
from core.sanitize import clean

_SIGNS: Final = {True: "met", False: "NOT MET", None: "unknown"}
_NONE = "—"
CLAIMS: Final = "a value followed by ? has fewer samples than that percentile needs at 99 % confidence"
SAID: Final = (50.0, 95.0, 99.0)
"""Percentiles whose intervals fit into a terminal."""


def sentences(results: Sequence[Named]) -> tuple[str, ...]:
    """What must be said first: loads, what is recommended, warnings."""
    found = [f"{named.run}: {clean(named.result.load, limit=200)}" for named in results]
    for named in results:
        if isinstance(named.result, BenchmarkCompareResult):
            found += [f"{clean(each.title)}: {clean(each.words, limit=300)}" for each in named.result.recommendations]
        found += [clean(warning, limit=300) for warning in named.result.warnings]
        found += warnings_by_target(named.result.entries)
    for other in results[1:]:
        found += [f"{other.run} against {results[0].run}: {sentence}" for sentence in incomparable_reasons(other.result, results[0].result)]
    if sum(len(named.result.entries) for named in results) > 1:
        found.append(BETWEEN_LOADS)
    if any(not figure.enough for row in targets(results) for sample in row.entry.shown.metrics.values() for figure in sample.percentiles):
        found.append(CLAIMS)
    return tuple(dict.fromkeys(found))


def warnings_by_target(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """Warnings of targets, each once with the names of those that it is of, the gravest of each first."""
    held: dict[str, list[str]] = {}
    for entry in entries:
        for warning in entry.warnings:
            held.setdefault(clean(warning, limit=300), []).append(clean(entry.name, limit=80))
    if len(entries) == 1:
        return list(held)
    return [f"{'every target' if len(names) == len(entries) else ', '.join(names)}: {warning}" for warning, names in held.items()]


def tables(results: Sequence[Named]) -> Iterator[Table]:
    """All tables that have something to show."""
    rows = targets(results)
    for found in _tables(results, rows):
        if len(found[1]) > 1:
            yield found


def _tables(results: Sequence[Named], rows: Sequence[Row]) -> Iterator[Table]:
    alone = len(rows) == 1
    yield "Targets", [_TARGET_HEAD, *(_target(row) for row in rows)]
    for named in results:
        if isinstance(named.result, BenchmarkCompareResult):
            yield "Recommended", [("goal", "target", "margin", "beyond noise"), *_recommended(named.result)]
            yield "Not measured", [("target", "reason"), *((clean(each.target), clean(each.reason, limit=400)) for each in named.result.left_out)]
        yield "Thresholds", thresholds(named.result.thresholds)
    if not alone:
        yield f"Against {rows[0].title}", against(rows)
    for row in rows:
        of = "" if alone else f" of {row.title}"
        yield f"Load{of}", [("figure", "value"), *load(row.entry)]
        yield f"Percentiles{of}", percentiles(row.entry)
        yield f"95 % intervals of the percentiles{of}", intervals(row.entry)
        yield f"Levels{of}", levels(row.entry)
        yield f"Errors{of}", errors(row.entry)
        yield f"Server{of}", [("figure", "value"), *server(row.entry)]
        yield f"Quality{of}", [("figure", "value"), *quality(row.entry.quality)]
    yield "Machine", [("", ""), *results[0].result.machine.facts()]
    yield "Definitions", definitions()


_TARGET_HEAD: Final[Cells] = (
    "target",
    "engine",
    "token/s",
    "request/s",
    "TTFT p50, ms",
    "p95",
    "TPOT p50, ms",
    "p95",
    "E2EL p50, ms",
    "p95",
    "done",
    "failed",
    "memory",
    "weights",
    "perplexity",
)


def _target(row: Row) -> Cells:
    entry = row.entry
    latencies = [figure.at(level) for figure in (entry.ttft_ms, entry.tpot_ms, entry.e2el_ms) for level in (50.0, 95.0)]
    return (
        row.title,
        clean(f"{entry.engine} {entry.engine_version or ''}".strip(), limit=60),
        _number(entry.throughput_tokens_per_second),
        _number(entry.throughput_requests_per_second),
        *(_number(value) for value in latencies),
        str(entry.requests.done),
        str(entry.requests.failed + entry.requests.timed_out),
        _bytes(entry.server.gpu_bytes or entry.server.host_bytes),
        _bytes(entry.model_bytes),
        _number(entry.quality.ppl),
    )


def percentiles(entry: BenchmarkEntry, *, short: bool = False) -> list[Cells]:
    """A line a metric, by its name or its initials; a value with `?` has too few samples to be claimed."""
    head = ("metric", "n", "mean", *(f"p{level:g}" for level in LEVELS))
    found = [(metric, entry.shown.metrics.get(metric.tag)) for metric in SAMPLES]
    return [
        head,
        *(
            _percentiles(f"{metric.short if short else metric.title}, {metric.unit}", figure)
            for metric, figure in found
            if figure is not None and figure.n
        ),
    ]


def _percentiles(title: str, figure: SampleFigure) -> Cells:
    enough = {each.level: each.enough for each in figure.percentiles}
    values = [(figure.at(level), enough.get(level, False)) for level in LEVELS]
    return (title, str(figure.n), _number(figure.mean), *(_number(value) + ("" if claimed or value is None else "?") for value, claimed in values))


def intervals(entry: BenchmarkEntry, levels: Sequence[float] = LEVELS, *, short: bool = False) -> list[Cells]:
    """A line a metric: between which values each percentile lies at 95 % confidence, as far as there are samples enough to say so."""
    head = ("metric", *(f"p{level:g}" for level in levels))
    found = [(metric, entry.shown.metrics.get(metric.tag)) for metric in SAMPLES]
    return [
        head,
        *(
            (f"{metric.short if short else metric.title}, {metric.unit}", *(_between(figure, level) for level in levels))
            for metric, figure in found
            if figure is not None and figure.n > 1
        ),
    ]


def _between(figure: SampleFigure, level: float) -> str:
    held: PercentileFigure | None = next((each for each in figure.percentiles if each.level == level), None)
    if held is None or (held.low is None and held.high is None):
        return _NONE
    if held.high is None:
        return f"{_number(held.low)} at least"
    return f"{_number(held.high)} at most" if held.low is None else f"{_number(held.low)} to {_number(held.high)}"


def load(entry: BenchmarkEntry) -> list[tuple[str, str]]:
    """What was sent, what became of it, and the rates over the window that is measured."""
    level, several = entry.shown, len(entry.levels) > 1
    of_all = ", all levels" if several else ""
    shown: list[tuple[str, str | None]] = [
        ("level of the sweep shown", None if level.level is None or not several else number(level.level)),
        ("highest level that meets the objectives", _maybe(entry.highest_meeting)),
        ("measured", f"{number(level.seconds)} s: {clean(level.window, limit=200)}"),
        ("paused", f"{number(sum(each.seconds for each in level.pauses))} s, excluded from rates" if level.pauses else None),
        ("requests", _accounted(level.requests)),
        ("requests" + of_all, _accounted(entry.requests) if several else None),
        ("retries after a rejection" + of_all, str(entry.retries) if entry.retries else None),
        ("requests sent a second", _maybe(level.achieved_rate)),
        ("requests done a second", _maybe(level.throughput_requests_per_second)),
        ("requests per second that met the objectives", _maybe(level.goodput_requests_per_second)),
        ("tokens per second", _maybe(level.throughput_tokens_per_second)),
        ("tokens per second, prompts too", _maybe(level.throughput_total_tokens_per_second)),
        ("error rate", None if level.error_rate is None else percent(level.error_rate)),
        ("timeout rate", None if level.timeout_rate is None else percent(level.timeout_rate)),
        ("prompt tokens" + of_all, None if entry.prompt_tokens is None else number(entry.prompt_tokens)),
        ("output tokens" + of_all, None if entry.completion_tokens is None else number(entry.completion_tokens)),
        ("tokens counted by", {"server": "the server", "tokenizer": "the model's tokenizer", "unknown": "nobody"}[entry.token_counts]),
        ("connections opened" + of_all, None if entry.connections is None else str(entry.connections)),
        ("cost per million tokens", _maybe(entry.cost_per_million_tokens)),
        ("client delay, p99, ms", _maybe(entry.client_lag_ms)),
    ]
    return [(name, value) for name, value in shown if value is not None]


def _accounted(counts: RequestCounts) -> str:
    parts = [("failed", counts.failed), ("timed out", counts.timed_out), ("unsent", counts.unsent)]
    return ", ".join((f"{counts.done} of {counts.scheduled} done", *(f"{value} {name}" for name, value in parts if value)))


def quality(found: Quality) -> list[tuple[str, str]]:
    """What the model answers, with standard errors."""
    share, questions = found.accuracy, found.questions
    error = None if share is None or not questions or questions < 2 else (share * (1 - share) / (questions - 1)) ** 0.5
    shown: list[tuple[str, str | None]] = [
        ("perplexity", _with_error(found.ppl, found.ppl_se)),
        ("divergence from the reference, nat", _with_error(found.kl_mean, found.kl_se)),
        ("tokens scored", str(found.tokens) if found.tokens else None),
        ("questions answered correctly", None if share is None else f"{found.correct} of {questions}, {percent(share)}"),
        ("standard error", None if error is None else percent(error)),
        ("how", clean(found.words, limit=400) or None),
    ]
    return [(name, value) for name, value in shown if value is not None]


def _with_error(value: float | None, error: float | None) -> str | None:
    return None if value is None else number(value) + ("" if error is None else f" ± {number(error)} (standard error)")


def levels(entry: BenchmarkEntry) -> list[Cells]:
    """A line a level of a sweep, the knee marked; the header alone where there is no sweep."""
    head: Cells = ("level", "token/s", "request/s", "goodput", "TTFT p50, ms", "p95", "TPOT p50, ms", "E2EL p50, ms", "p95", "bad", "")
    if len(entry.levels) < 2:
        return [head]
    found = [head]
    for level in entry.levels:
        ttft, tpot, e2el = (level.metrics[tag] for tag in ("ttft_ms", "tpot_ms", "e2el_ms"))
        marks = (["knee"] if level.level == entry.knee else []) + ([] if level.meets_objectives is not False else ["misses the objectives"])
        marks += ["highest that meets them"] if level.level == entry.highest_meeting else []
        found.append(
            (
                _number(level.level),
                _number(level.throughput_tokens_per_second),
                _number(level.throughput_requests_per_second),
                _number(level.goodput_requests_per_second),
                *(_number(value) for value in (ttft.p50, ttft.p95, tpot.p50, e2el.p50, e2el.p95)),
                str(level.requests.failed + level.requests.timed_out),
                ", ".join(marks),
            )
        )
    return found


def thresholds(held: Sequence[Threshold]) -> list[Cells]:
    """A line a threshold, its verdict in words and not by colour."""
    head: Cells = ("", "threshold", "found", "")
    return [
        head,
        *(
            (
                _SIGNS[each.passed],
                clean(each.expression, limit=120),
                f"{_number(each.value)} {_unit(each.unit)}".strip(),
                clean(each.words, limit=200),
            )
            for each in held
        ),
    ]


def errors(entry: BenchmarkEntry) -> list[Cells]:
    """A line a reason."""
    head: Cells = ("requests", "what", "reason")
    return [head, *((str(each.count), clean(each.status).replace("_", " "), clean(each.reason, limit=300)) for each in entry.errors)]


def server(entry: BenchmarkEntry) -> list[tuple[str, str]]:
    """What the server said of itself, and what it took."""
    said = entry.server
    looks = f" of {said.looks} samples" if said.looks else ""
    shown: list[tuple[str, str | None]] = [
        ("address", clean(entry.url, limit=120)),
        ("started by", None if entry.command is None else clean(entry.command, limit=600)),
        ("running, most and mean" + looks, _both(said.peak_running, said.mean_running)),
        ("waiting, most and mean" + looks, _both(said.peak_waiting, said.mean_waiting)),
        ("KV cache in use, most and mean" + looks, _both(said.peak_kv_usage, said.mean_kv_usage, percent)),
        ("prompt tokens found in the prefix cache", None if said.prefix_hit_rate is None else percent(said.prefix_hit_rate)),
        ("drafted tokens accepted", None if said.acceptance is None else percent(said.acceptance)),
        ("host memory, peak", None if said.host_bytes is None else size(said.host_bytes)),
        ("GPU memory, peak", None if said.gpu_bytes is None else size(said.gpu_bytes)),
        ("energy of its GPUs, J", _maybe(said.joules)),
        ("energy of the processors, J", _maybe(said.processor_joules)),
        ("tokens per joule" + (f" of the {said.energy_of}" if said.energy_of else ""), _maybe(said.tokens_per_joule)),
    ]
    return [(name, value) for name, value in shown if value is not None]


def _both(most: float | None, mean: float | None, show: Callable[[float], str] = number) -> str | None:
    return None if most is None else show(most) if mean is None else f"{show(most)}, {show(mean)}"


def against(rows: Sequence[Row]) -> list[Cells]:
    """Every target's aspects over those of the first."""
    head: Cells = ("target", "aspect", "value", "first", "ratio and interval")
    found = [head]
    for other in rows[1:]:
        for each in compare_rows(other, rows[0]):
            if each.value is not None and each.against is not None:
                unit = _unit(each.aspect.unit)
                values = (f"{_number(value)} {unit}".strip() for value in (each.value, each.against))
                found.append((other.title, each.aspect.title, *values, each.words))
    return found


def _recommended(result: BenchmarkCompareResult) -> Iterator[Cells]:
    for each in result.recommendations:
        margin = _NONE if each.margin is None else f"{margin_words(each.margin)} {clean(each.runner_up or '', limit=60)}"
        yield (clean(each.title), clean(each.name, limit=80), margin, {True: "yes", False: "no", None: "unknown"}[each.beyond_noise])


def _number(value: float | None) -> str:
    return _NONE if value is None else number(value)


def _maybe(value: float | None) -> str | None:
    return None if value is None else number(value)


def _bytes(value: int | None) -> str:
    return _NONE if value is None else size(value)


def _unit(unit: Any) -> str:
    return "" if unit == "1" else str(unit)

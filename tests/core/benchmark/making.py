"""Results whose figures are known, as they are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.benchmark.metrics import SAMPLES
from core.benchmark.result import BenchmarkEntry, BenchmarkResult, Level, RequestCounts, SampleFigure
from core.hardware.surroundings import Surroundings
from core.measure.percentiles import distribution

Samples = dict[str, list[float]]


def samples(seed: int, count: int = 200, factor: float = 1.0) -> Samples:
    """Latencies of 10 % spread, `factor` times as long as usual."""
    generator = np.random.default_rng(seed)
    usual = {"ttft_ms": 50.0, "ttft_sent_ms": 49.0, "tpot_ms": 20.0, "itl_of_request_ms": 20.0, "e2el_ms": 1000.0, "normalized_ms": 30.0}
    found = {tag: (factor * value * generator.normal(1, 0.1, count)).tolist() for tag, value in usual.items()}
    found["itl_ms"] = (factor * 20 * generator.normal(1, 0.2, 10 * count)).tolist()
    found["queue_ms"] = [0.0] * count
    found["request_tokens_per_second"] = (50 / factor * generator.normal(1, 0.1, count)).tolist()
    return found


def figures(values: Mapping[str, Sequence[float]]) -> dict[str, SampleFigure]:
    return {metric.tag: SampleFigure.of(distribution(values.get(metric.tag, [])), metric.title, metric.unit) for metric in SAMPLES}


def level(values: Mapping[str, Sequence[float]], at: float | None = None, throughput: float | None = 400.0) -> Level:
    count = len(values.get("ttft_ms", ()))
    return Level(
        level=at,
        requests=RequestCounts(scheduled=count, done=count, failed=0, timed_out=0, unsent=0),
        seconds=10.0,
        window="the whole load",
        throughput_tokens_per_second=throughput,
        throughput_requests_per_second=None if throughput is None else throughput / 50,
        throughput_total_tokens_per_second=None,
        error_rate=0.0,
        timeout_rate=0.0,
        metrics=figures(values),
    )


def entry(values: Mapping[str, Sequence[float]], name: str = "base", levels: Sequence[Level] = (), **more: Any) -> BenchmarkEntry:
    all_levels = tuple(levels) or (level(values, throughput=more.get("throughput_tokens_per_second", 400.0)),)
    shown = figures(values)
    fields: dict[str, Any] = {
        "name": name,
        "engine": "Engine",
        "engine_version": "1",
        "url": "http://127.0.0.1:1",
        "model": "bundled:base",
        "served_model": "base",
        "requests": all_levels[-1].requests,
        **{tag: shown[tag] for tag in ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")},
        "throughput_tokens_per_second": all_levels[-1].throughput_tokens_per_second,
        "throughput_requests_per_second": all_levels[-1].throughput_requests_per_second,
        "levels": all_levels,
    }
    return BenchmarkEntry(**(fields | more))


def made(values: Mapping[str, Sequence[float]], name: str = "base", **more: Any) -> BenchmarkResult:
    return BenchmarkResult(
        entries=(entry(values, name, **more),),
        machine=Surroundings(system="Linux", processor="x86_64", cores=2, memory_bytes=1 << 33),
        load="8 requests at once, 128 tokens in, 64 out",
        samples={name: {tag: list(held) for tag, held in values.items()}},
        seconds=12.5,
    )

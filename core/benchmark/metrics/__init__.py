"""All metrics, in the order in which they are shown.

One metric per file: name, unit, direction, formula. May import `client`'s outcomes. Never reads a file or a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.benchmark.metrics.base import RateMetric, SampleMetric, Window
from core.benchmark.metrics.e2el import EndToEndLatency, NormalizedLatency
from core.benchmark.metrics.goodput import Goodput
from core.benchmark.metrics.itl import InterTokenLatency
from core.benchmark.metrics.of_request import InterTokenLatencyOfRequest, RequestSpeed
from core.benchmark.metrics.queue import QueueTime
from core.benchmark.metrics.rates import ErrorRate, TimeoutRate
from core.benchmark.metrics.throughput import RequestThroughput, TokenThroughput, TotalTokenThroughput
from core.benchmark.metrics.tpot import TimePerOutputToken
from core.benchmark.metrics.ttft import TimeToFirstToken, TimeToFirstTokenSent

SAMPLES: Final[tuple[SampleMetric, ...]] = (
    TimeToFirstToken(),
    TimeToFirstTokenSent(),
    TimePerOutputToken(),
    InterTokenLatency(),
    EndToEndLatency(),
    NormalizedLatency(),
    QueueTime(),
)
OF_REQUEST: Final[tuple[SampleMetric, ...]] = (InterTokenLatencyOfRequest(), RequestSpeed())
"""Kept as raw values alongside the others, so that results can be compared."""
BY_TAG: Final[Mapping[str, SampleMetric]] = {metric.tag: metric for metric in (*SAMPLES, *OF_REQUEST)}
RATES: Final[tuple[RateMetric, ...]] = (RequestThroughput(), TokenThroughput(), TotalTokenThroughput(), ErrorRate(), TimeoutRate())

__all__ = ["BY_TAG", "OF_REQUEST", "RATES", "SAMPLES", "Goodput", "RateMetric", "SampleMetric", "Window"]

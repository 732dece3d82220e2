"""One value a request, for comparisons: values of one request hang together, those of two do not."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import Better, SampleMetric, Unit
from core.benchmark.metrics.e2el import EndToEndLatency
from core.benchmark.metrics.itl import InterTokenLatency


class InterTokenLatencyOfRequest(SampleMetric):
    """Mean of the inter-token latencies of a request."""

    tag: ClassVar[str] = "itl_of_request_ms"
    title: ClassVar[str] = "inter-token latency, mean of a request"
    short: ClassVar[str] = "ITL, mean of a request"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value where there is a gap."""
        gaps = list(InterTokenLatency().of(outcome))
        return (fmean(gaps),) if gaps else ()


class RequestSpeed(SampleMetric):
    """Tokens of an answer / its end-to-end latency. With n requests always under way the throughput is n times its mean, weighted by time."""

    tag: ClassVar[str] = "request_tokens_per_second"
    title: ClassVar[str] = "tokens a second of a request"
    short: ClassVar[str] = "token/s of a request"
    unit: ClassVar[Unit] = "token/s"
    better: ClassVar[Better] = "higher"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value where the tokens are known."""
        return (1000 * outcome.tokens / latency for latency in EndToEndLatency().of(outcome) if outcome.tokens and latency > 0)

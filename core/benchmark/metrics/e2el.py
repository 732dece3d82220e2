"""End-to-end latency."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import SampleMetric, Unit, milliseconds


class EndToEndLatency(SampleMetric):
    """E2EL = last piece with content - moment the request was due. What comes behind it, usage or `[DONE]`, is not waited for."""

    tag: ClassVar[str] = "e2el_ms"
    title: ClassVar[str] = "end-to-end latency"
    short: ClassVar[str] = "E2EL"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value where there is content."""
        return milliseconds(outcome.due, outcome.pieces[-1].t if outcome.pieces else None)


class NormalizedLatency(SampleMetric):
    """Normalized latency = E2EL / tokens of the answer (arXiv 2309.06180, section 6.1)."""

    tag: ClassVar[str] = "normalized_ms"
    title: ClassVar[str] = "normalized latency"
    short: ClassVar[str] = "normalized"
    unit: ClassVar[Unit] = "ms/token"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value where the tokens are known."""
        return (latency / outcome.tokens for latency in EndToEndLatency().of(outcome) if outcome.tokens)

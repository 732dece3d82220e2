"""Waiting in the client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import SampleMetric, milliseconds


class QueueTime(SampleMetric):
    """Queue time = moment the request was written to a connection - moment it was due: waiting for a slot, and for the client itself."""

    tag: ClassVar[str] = "queue_ms"
    title: ClassVar[str] = "queue time in the client"
    short: ClassVar[str] = "queue"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value for each request that was sent."""
        return milliseconds(outcome.due, outcome.sent)

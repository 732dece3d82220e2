"""Requests that were served as promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import RateMetric, SampleMetric, Unit, Window
from core.benchmark.metrics.throughput import finished


@dataclass(frozen=True)
class Goodput(RateMetric):
    """Requests complete within the window that meet every objective / its length (DistServe, arXiv 2401.09670).

    A request meets an objective when none of its values of the metric is above the limit, and it has one.
    """

    tag: ClassVar[str] = "goodput_requests_per_second"
    title: ClassVar[str] = "goodput"
    unit: ClassVar[Unit] = "request/s"
    objectives: Mapping[SampleMetric, float] = field(default_factory=dict)
    """Metric to limit, in its unit."""

    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """Requests a second; None without objectives."""
        if not self.objectives or window.seconds <= 0:
            return None
        return sum(self.meets(outcome) for outcome in finished(outcomes, window)) / window.seconds

    def meets(self, outcome: Outcome) -> bool:
        """Whether a request met all objectives."""
        values = [(list(metric.of(outcome)), limit) for metric, limit in self.objectives.items()]
        return outcome.status == "done" and all(found and max(found) <= limit for found, limit in values)

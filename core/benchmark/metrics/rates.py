"""What did not go well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import Better, RateMetric, Unit, Window


class ErrorRate(RateMetric):
    """Requests that failed / all that were scheduled."""

    tag: ClassVar[str] = "error_rate"
    title: ClassVar[str] = "error rate"
    unit: ClassVar[Unit] = "1"
    better: ClassVar[Better] = "lower"

    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """A share; the window does not matter."""
        del window
        return sum(outcome.status == "failed" for outcome in outcomes) / len(outcomes) if outcomes else None


class TimeoutRate(RateMetric):
    """Requests that timed out / all that were scheduled."""

    tag: ClassVar[str] = "timeout_rate"
    title: ClassVar[str] = "timeout rate"
    unit: ClassVar[Unit] = "1"
    better: ClassVar[Better] = "lower"

    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """A share; the window does not matter."""
        del window
        return sum(outcome.status == "timed_out" for outcome in outcomes) / len(outcomes) if outcomes else None

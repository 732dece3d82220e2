"""What did not go well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from core.benchmark.client.outcome import Outcome, Status
from core.benchmark.metrics.base import Better, RateMetric, Unit, Window


class _ShareOfStatus(RateMetric):
    """Requests that ended so / all that were scheduled."""

    status: ClassVar[Status]
    unit: ClassVar[Unit] = "1"
    better: ClassVar[Better] = "lower"

    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """A share; the window does not matter."""
        del window
        return sum(outcome.status == self.status for outcome in outcomes) / len(outcomes) if outcomes else None


class ErrorRate(_ShareOfStatus):
    """Requests that failed / all that were scheduled."""

    tag: ClassVar[str] = "error_rate"
    title: ClassVar[str] = "error rate"
    status: ClassVar[Status] = "failed"


class TimeoutRate(_ShareOfStatus):
    """Requests that timed out / all that were scheduled."""

    tag: ClassVar[str] = "timeout_rate"
    title: ClassVar[str] = "timeout rate"
    status: ClassVar[Status] = "timed_out"

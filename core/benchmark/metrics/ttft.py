"""Time to first token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import SampleMetric, milliseconds


class TimeToFirstToken(SampleMetric):
    """TTFT = first piece with content - moment the request was due.

    What a request waited for a free slot belongs to it: a client that waits with a slow server would otherwise hide how slow it is
    (coordinated omission).
    """

    tag: ClassVar[str] = "ttft_ms"
    title: ClassVar[str] = "time to first token"
    short: ClassVar[str] = "TTFT"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value where there is content."""
        return milliseconds(outcome.due, outcome.pieces[0].t if outcome.pieces else None)


class TimeToFirstTokenSent(SampleMetric):
    """TTFT from sending = first piece with content - moment the request was written to its connection."""

    tag: ClassVar[str] = "ttft_sent_ms"
    title: ClassVar[str] = "time to first token, from sending"
    short: ClassVar[str] = "TTFT, sent"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value where there is content."""
        return milliseconds(outcome.sent, outcome.pieces[0].t if outcome.pieces else None)

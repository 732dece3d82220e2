"""What a load reports to its live view, at most once per second."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, ClassVar, Self

from core.event import DetailEvent, shown

_KEPT = 8
Status = Annotated[str, shown(20)]
Reason = Annotated[str, shown(300)]


class SecondEvent(DetailEvent):
    """The load as it is now; figures of answers are those that ended since the last event, None where none did."""

    kind: ClassVar[str] = "second"
    t: float
    """Seconds since the load began."""
    scheduled: int
    """Requests in all."""
    sent: int
    """Those that are over or under way."""
    done: int
    failed: int
    timed_out: int
    running: int
    """Under way, as the client counts them."""
    tokens_per_second: float | None = None
    requests_per_second: float | None = None
    ttft_ms: float | None = None
    """Median."""
    itl_ms: float | None = None
    e2el_ms: float | None = None
    level: float | None = None
    """Of a sweep: the rate or the concurrency that is being measured."""
    server_running: float | None = None
    """What the server says of itself."""
    server_waiting: float | None = None
    kv_usage: float | None = None
    memory: int | None = None
    """Bytes of the server's processes."""
    paused: float | None = None
    """Seconds since the user paused it; None while it continues."""
    paused_before: float | None = None
    """Seconds of all pauses that are over."""


class ErrorsEvent(DetailEvent):
    """What went wrong so far: reasons and how many requests ended for each, the most frequent first; the rest in one number."""

    kind: ClassVar[str] = "errors"
    reasons: tuple[tuple[Status, Reason, int], ...]
    """(`failed` or `timed_out`, reason, requests)."""
    others: int = 0
    """Requests that ended for another reason than these."""
    level: float | None = None
    """Of a sweep."""

    @classmethod
    def of(cls, counts: Counter[tuple[str, str]], level: float | None = None) -> Self:
        """From counts by status and reason."""
        most = tuple((status, reason, count) for (status, reason), count in counts.most_common(_KEPT))
        return cls(reasons=most, others=counts.total() - sum(count for _, _, count in most), level=level)

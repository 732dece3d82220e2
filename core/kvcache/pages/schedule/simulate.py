"""A simulation of how a server batches requests: continuously, or batch after batch. Nothing is run."""

from __future__ import annotations

from collections.abc import Sequence

from core.kvcache.pages.schedule.clock import OnEvent, Outcome, Server
from core.kvcache.pages.schedule.continuous import Continuous
from core.kvcache.pages.schedule.static import Static
from core.kvcache.pages.schedule.traces import Arrival

__all__ = ["Outcome", "Server", "continuous", "percentile", "static"]


def continuous(arrivals: Sequence[Arrival], server: Server, on_event: OnEvent | None = None) -> Outcome:
    """Simulate continuous batching; `on_event` is called now and then, and may raise to stop it."""
    return Continuous(arrivals, server, on_event).run()


def static(arrivals: Sequence[Arrival], server: Server, on_event: OnEvent | None = None) -> Outcome:
    """Simulate static batching; arguments as of `continuous`."""
    return Static(arrivals, server, on_event).run()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share do not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(-(-round(share * 1000) * len(ordered) // 1000), 1) - 1]

"""Tell a run's live view about a load, at most once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from core.benchmark.metrics.base import SampleMetric
from core.benchmark.metrics.e2el import EndToEndLatency
from core.benchmark.metrics.itl import InterTokenLatency
from core.benchmark.metrics.ttft import TimeToFirstToken
from core.benchmark.outcome import Outcome
from core.benchmark.second_event import SecondEvent
from core.benchmark.watch import Look
from core.runs.context import RunContext

_EVERY = 1.0


class Live:
    """Counts what was heard of one load.

    Args:
        context: of the run.
        scheduled: requests of this load.
        total: of the whole run, for its progress.
        before: those of the run that were over before this load.
        level: of a sweep.
        look: the latest look at the server.
    """

    def __init__(self, context: RunContext, scheduled: int, total: int, before: int, level: float | None, look: Callable[[], Look | None]) -> None:
        self._context, self._scheduled, self._total, self._before, self._level, self._look = context, scheduled, total, before, level, look
        self._began = self._told = time.monotonic()
        self._counts = {"done": 0, "failed": 0, "timed_out": 0, "unsent": 0, "cancelled": 0}
        self._new: list[Outcome] = []

    def heard(self, outcome: Outcome) -> None:
        """A request is over."""
        self._counts[outcome.status] += 1
        self._new.append(outcome)
        if outcome.status in ("failed", "timed_out") and self._counts["failed"] + self._counts["timed_out"] <= 5:
            self._context.log(f"request {outcome.index}: {outcome.reason}")
        now = time.monotonic()
        if now - self._told >= _EVERY or sum(self._counts.values()) == self._scheduled:
            self._tell(now)

    def _tell(self, now: float) -> None:
        over, gone = sum(self._counts.values()), max(now - self._told, 1e-9)
        look = self._look()
        figures = look.figures if look is not None else None
        tokens = [outcome.tokens for outcome in self._new if outcome.status == "done" and outcome.tokens is not None]
        event = SecondEvent(
            t=now - self._began,
            scheduled=self._scheduled,
            sent=over,
            done=self._counts["done"],
            failed=self._counts["failed"],
            timed_out=self._counts["timed_out"],
            running=int(figures.running) if figures is not None and figures.running is not None else 0,
            tokens_per_second=sum(tokens) / gone if tokens else None,
            requests_per_second=len(self._new) / gone,
            ttft_ms=_median(TimeToFirstToken(), self._new),
            itl_ms=_median(InterTokenLatency(), self._new),
            e2el_ms=_median(EndToEndLatency(), self._new),
            level=self._level,
            server_running=None if figures is None else figures.running,
            server_waiting=None if figures is None else figures.waiting,
            kv_usage=None if figures is None else figures.kv_usage,
            memory=None if look is None else look.host_bytes,
        )
        self._told, self._new = now, []
        self._context.detail(SecondEvent.kind, event.data())
        self._context.progress(self._before + over, max(self._total, self._before + over), f"{over} of {self._scheduled} requests answered")


def _median(metric: SampleMetric, outcomes: Sequence[Outcome]) -> float | None:
    sample = metric.sample(outcomes)
    return median(sample) if sample else None

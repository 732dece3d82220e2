"""Report a load to its live view, at most once per second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median

from core.benchmark.client.outcome import Outcome
from core.benchmark.events import ErrorsEvent, SecondEvent
from core.benchmark.metrics.base import SampleMetric
from core.benchmark.metrics.e2el import EndToEndLatency
from core.benchmark.metrics.itl import InterTokenLatency
from core.benchmark.metrics.ttft import TimeToFirstToken
from core.benchmark.server.watch import Look
from core.context import RunContext

_EVERY = 1.0
_LOGGED = 5


class LoadReporter:
    """Counts the outcomes of one load, and reports them.

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
        self._began = self._reported_at = self._figures_since = time.monotonic()
        self._counts = {"done": 0, "failed": 0, "timed_out": 0, "unsent": 0, "cancelled": 0}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._errors_reported = 0
        self._new: list[Outcome] = []
        self._under_way = 0
        self._paused: float | None = None
        self._before_pause = 0.0

    def on_outcome(self, outcome: Outcome) -> None:
        """A request is over."""
        self._counts[outcome.status] += 1
        self._new.append(outcome)
        if outcome.status in ("failed", "timed_out"):
            self._errors[outcome.status, outcome.reason] += 1
            if self._errors.total() <= _LOGGED:
                self._context.log(f"request {outcome.index}: {outcome.reason}")
        now = time.monotonic()
        if (self._paused is None and now - self._reported_at >= _EVERY) or sum(self._counts.values()) == self._scheduled:
            self._report(now)

    def on_look(self, under_way: int, paused: bool) -> None:
        """So many requests are under way. A pause is reported when it begins, when something of it changes, and when it ends."""
        now = time.monotonic()
        turned = paused != (self._paused is not None)
        if turned:
            self._turn(now, paused)
        changed = under_way != self._under_way or bool(self._new)
        self._under_way = under_way
        if turned or (now - self._reported_at >= _EVERY and (changed or not paused)):
            self._report(now)

    def close(self) -> None:
        """The load has ended; what was not reported yet is."""
        self._under_way = 0
        if self._new or self._paused is not None:
            if self._paused is not None:
                self._turn(time.monotonic(), False)
            self._report(time.monotonic())

    def _turn(self, now: float, paused: bool) -> None:
        over = sum(self._counts.values())
        if paused:
            self._paused = now
            self._context.log(f"paused after {over} of {self._scheduled} requests: no new requests are sent")
        elif self._paused is not None:
            gone = now - self._paused
            self._before_pause += gone
            self._figures_since += gone
            self._paused = None
            self._context.log(f"resumed after a pause of {gone:.0f} s")

    def _report(self, now: float) -> None:
        over = sum(self._counts.values())
        # What is under way was counted a moment ago: some of it may have ended since.
        under_way = min(self._under_way, self._scheduled - over)
        look = self._look()
        figures = look.figures if look is not None else None
        gone = max((now if self._paused is None else self._paused) - self._figures_since, 1e-9)
        # What ends in a pause is reported with it, but its rate would be one of no load.
        rated = bool(self._new) and self._paused is None
        tokens = [outcome.tokens for outcome in self._new if outcome.status == "done" and outcome.tokens is not None]
        event = SecondEvent(
            t=now - self._began,
            scheduled=self._scheduled,
            sent=over + under_way,
            done=self._counts["done"],
            failed=self._counts["failed"],
            timed_out=self._counts["timed_out"],
            running=under_way,
            tokens_per_second=sum(tokens) / gone if tokens and rated else None,
            requests_per_second=len(self._new) / gone if rated else None,
            ttft_ms=_median(TimeToFirstToken(), self._new),
            itl_ms=_median(InterTokenLatency(), self._new),
            e2el_ms=_median(EndToEndLatency(), self._new),
            level=self._level,
            server_running=None if figures is None else figures.running,
            server_waiting=None if figures is None else figures.waiting,
            kv_usage=None if figures is None else figures.kv_usage,
            memory=None if look is None else look.host_bytes,
            paused=None if self._paused is None else now - self._paused,
            paused_before=self._before_pause or None,
        )
        self._reported_at = now
        if self._new:
            self._figures_since, self._new = (now if self._paused is None else self._paused), []
        self._context.detail(event)
        if self._errors.total() > self._errors_reported:
            self._errors_reported = self._errors.total()
            self._context.detail(ErrorsEvent.of(self._errors, self._level))
        label = f"{over} of {self._scheduled} requests answered{' or failed' if self._errors else ''}"
        self._context.progress(self._before + over, max(self._total, self._before + over), label if self._paused is None else f"paused, {label}")


def _median(metric: SampleMetric, outcomes: Sequence[Outcome]) -> float | None:
    sample = metric.sample(outcomes)
    return median(sample) if sample else None

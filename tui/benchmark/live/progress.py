"""A load's events folded into what its live view shows. Pure."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Self

from core.benchmark.events import ErrorsEvent, SecondEvent
from core.runs.state.events import Detail, Event, Log
from tui.experiment.progress import RunProgress

_KEPT = 3600
_ERROR = re.compile(r"(?:^|: )request \d+: ")
"""Of a comparison behind the name of the target."""
Reason = tuple[str, str]
"""(`failed` or `timed_out`, why)."""


@dataclass(frozen=True, slots=True)
class Second:
    """What the charts draw of a `SecondEvent`, in a tenth of its memory: a load may take hours."""

    t: float
    level: float | None
    tokens_per_second: float | None
    requests_per_second: float | None
    ttft_ms: float | None
    itl_ms: float | None
    e2el_ms: float | None
    running: int
    server_running: float | None
    server_waiting: float | None
    paused: float | None

    @classmethod
    def of(cls, event: SecondEvent) -> Self:
        """Of an event."""
        return cls(*(getattr(event, name) for name in cls.__slots__))


@dataclass
class BenchmarkProgress(RunProgress):
    """What a load said, second by second."""

    seconds: deque[tuple[float, Second]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """(seconds since the first load began, figures), the last hour."""
    last: SecondEvent | None = None
    """The newest."""
    errors: list[str] = field(default_factory=list)
    """Of the first requests that failed."""
    last_at: float | None = None
    """When the newest was reported, seconds since 1970."""
    _zero: float | None = None
    _now: ErrorsEvent | None = None
    _before: Counter[Reason] = field(default_factory=Counter)
    _paused: float = 0.0
    """Seconds of all pauses that are over, of all loads of the run."""

    @property
    def reasons(self) -> list[tuple[Reason, int]]:
        """Why requests failed, in all loads of the run, the most frequent first."""
        found = Counter(self._before)
        for status, reason, count in self._now.reasons if self._now is not None else ():
            found[status, reason] += count
        return found.most_common()

    @property
    def bad(self) -> int:
        """Requests that failed or timed out in the present load."""
        return 0 if self.last is None else self.last.failed + self.last.timed_out

    def paused(self, now: float) -> float | None:
        """Seconds since the load waits; None while it runs."""
        second = self.last
        return None if second is None or second.paused is None or self.last_at is None else second.paused + max(now - self.last_at, 0.0)

    def seconds_left(self, now: float) -> float | None:
        """By the pace without the pauses; not known in a pause."""
        return None if self.paused(now) is not None else super().seconds_left(now - self._paused)

    def apply(self, event: Event) -> None:
        if isinstance(event, Log) and _ERROR.search(event.text):
            self.errors.append(event.text)
            return
        if isinstance(event, Detail) and event.kind == SecondEvent.kind:
            self._second(event)
            return
        if isinstance(event, Detail) and event.kind == ErrorsEvent.kind:
            self._now = ErrorsEvent.parse(event.data) or self._now
            return
        super().apply(event)

    def _second(self, event: Detail) -> None:
        second = SecondEvent.parse(event.data)
        if second is None:
            return
        before = self.last
        if before is not None and second.t < before.t:
            self._next_load()
            before = None
        self._paused += (second.paused_before or 0.0) - ((before.paused_before or 0.0) if before is not None else 0.0)
        self._zero = event.t - second.t if self._zero is None else self._zero
        self.last, self.last_at = second, event.t
        self.seconds.append((event.t - self._zero, Second.of(second)))

    def _next_load(self) -> None:
        for status, reason, count in self._now.reasons if self._now is not None else ():
            self._before[status, reason] += count
        self._now = None

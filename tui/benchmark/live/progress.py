"""A load's events folded into what its live view shows. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from core.benchmark.events import ErrorsEvent, SecondEvent
from core.runs.state.events import Detail, Event, Log
from tui.benchmark.live.curves import LoadCurves
from tui.experiment.progress import RunProgress

_ERRORS_KEPT = 50
_ERROR = re.compile(r"(?:^|: )request \d+: ")
"""Of a comparison behind the name of the target."""
Reason = tuple[str, str]
"""(`failed` or `timed_out`, why)."""


@dataclass
class BenchmarkProgress(RunProgress):
    """What a load said, second by second."""

    charted: LoadCurves = field(default_factory=LoadCurves)
    """Figures by seconds since the first load began."""
    last: SecondEvent | None = None
    """The newest."""
    errors: list[str] = field(default_factory=list)
    """The last of those of the first requests that failed."""
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
            del self.errors[:-_ERRORS_KEPT]
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
        self.charted.add(event.t - self._zero, second)

    def _next_load(self) -> None:
        for status, reason, count in self._now.reasons if self._now is not None else ():
            self._before[status, reason] += count
        self._now = None

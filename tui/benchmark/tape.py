"""A load's events folded into what its live view shows. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from core.benchmark.second_event import SecondEvent
from core.runs.events import Detail, Event, Log
from tui.experiment.tape import Tape

_KEPT = 3600
_ERROR = re.compile(r"(?:^|: )request \d+: ")
"""Of a comparison behind the name of the target."""


@dataclass
class BenchmarkTape(Tape):
    """What a load said, second by second."""

    seconds: deque[tuple[float, SecondEvent]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    """(seconds since the first load began, what was told), the last hour."""
    errors: list[str] = field(default_factory=list)
    """Of the first requests that failed."""
    _zero: float | None = None

    @property
    def last(self) -> SecondEvent | None:
        """The newest."""
        return self.seconds[-1][1] if self.seconds else None

    def take(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, Log) and _ERROR.search(event.text):
            self.errors.append(event.text)
            return
        if isinstance(event, Detail) and event.kind == SecondEvent.kind:
            told = SecondEvent.parse(event.data)
            if told is not None:
                self._zero = event.t - told.t if self._zero is None else self._zero
                self.seconds.append((event.t - self._zero, told))
            return
        super().take(event)

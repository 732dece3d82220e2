"""A server's events folded into what is shown of it. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from core.benchmark.serve.events import ReadyEvent
from core.runs.state.events import Detail, Event, Metric
from tui.experiment.progress import RunProgress

_KEPT = 1800
RUNNING, WAITING, MEMORY = "server_running", "server_waiting", "server_memory_bytes"


@dataclass
class ServerProgress(RunProgress):
    """What a server said."""

    ready: ReadyEvent | None = None
    """Since it answers."""
    course: dict[str, deque[tuple[float, float]]] = field(default_factory=dict)
    """Metric -> (seconds since the first one, value), the last half hour."""
    _zero: float | None = None

    def apply(self, event: Event) -> None:
        if isinstance(event, Detail) and event.kind == ReadyEvent.kind:
            self.ready = ReadyEvent.parse(event.data) or self.ready
            return
        if isinstance(event, Metric) and event.value is not None:
            self._zero = event.t if self._zero is None else self._zero
            self.course.setdefault(event.name, deque(maxlen=_KEPT)).append((event.t - self._zero, event.value))
        super().apply(event)

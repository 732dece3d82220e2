"""A run's events folded into what a live view shows. Pure: no screen, no disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from core.runs.state.events import Event, Log, Metric, Progress, StateChange

_LOG_LINES = 200


@dataclass
class RunProgress:
    """What is known of one run so far. A tab that reads more events makes a subclass and overrides `apply`."""

    progress: Progress | None = None
    began: float | None = None
    """When the first progress was reported since the run was last started, seconds since 1970."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    """The last value of each metric without a label; None where it was not finite."""
    curves: dict[str, dict[str, dict[int, float | None]]] = field(default_factory=dict)
    """Metrics with a label: name -> label -> step -> value, in the order of arrival."""
    log: list[str] = field(default_factory=list)
    """The last lines."""
    _done_before: int = 0

    def add(self, events: Iterable[Event]) -> None:
        """Take in new events."""
        for event in events:
            self.apply(event)
        del self.log[:-_LOG_LINES]

    def seconds_left(self, now: float) -> float | None:
        """Time left by the pace so far, None while that is not known: before a twentieth is done the pace says little."""
        if self.progress is None or self.began is None:
            return None
        done, total = self.progress.done - self._done_before, self.progress.total - self._done_before
        return max(now - self.began, 0.0) * (total - done) / done if total / 20 <= done < total else None

    def apply(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Progress():
                if self.began is None:
                    self.began, self._done_before = event.t, event.done
                self.progress = event
            case StateChange(status="queued"):
                self.began = None
            case Metric(label=""):
                self.metrics[event.name] = event.value
            case Metric():
                self.curves.setdefault(event.name, {}).setdefault(event.label, {})[event.step] = event.value
            case Log():
                self.log.append(event.text)

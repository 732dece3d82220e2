"""A run's events folded into what the live view shows. Pure: no screen, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.runs.events import Artifact, Event, Log, Metric, Progress, StateChange

LAYER_ERROR = "layer_error"
SENSITIVITY = "sensitivity_kl"
ASSIGNED = "assigned_bits"
_LOG_LINES = 200


@dataclass
class Tape:
    """What has been heard of one run so far."""

    progress: Progress | None = None
    began: float | None = None
    """When the first progress was reported since the run was last started, seconds since 1970."""
    errors: list[tuple[str, float | None]] = field(default_factory=list)
    """(linear, relative error) of the present pass in the order of arrival; None where it is not finite."""
    sensitivity: dict[str, dict[int, float | None]] = field(default_factory=dict)
    """linear -> bits -> KL divergence of the model in which it alone has so few."""
    assigned: dict[str, float | None] = field(default_factory=dict)
    """linear -> bits that it got, in a mixed quantization."""
    passes: int = 0
    """How often the run has begun with the first linear: a comparison quantizes the model several times."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    """(kind, path)."""
    _step: int = -1
    _done_before: int = 0

    def add(self, events: list[Event]) -> None:
        """Take in new events."""
        for event in events:
            self._take(event)
        del self.log[:-_LOG_LINES]

    def seconds_left(self, now: float) -> float | None:
        """Time left by the pace so far, None while that cannot be told: before a twentieth is done the pace says little."""
        if self.progress is None or self.began is None:
            return None
        done, total = self.progress.done - self._done_before, self.progress.total - self._done_before
        return max(now - self.began, 0.0) * (total - done) / done if total / 20 <= done < total else None

    def _take(self, event: Event) -> None:
        match event:
            case Progress():
                if self.began is None:
                    self.began, self._done_before = event.t, event.done
                self.progress = event
            case StateChange(status="queued"):
                self.began = None
            case Metric(name=name) if name == LAYER_ERROR:
                if event.step <= self._step:
                    self.errors = []
                    self.passes += 1
                self._step = event.step
                self.errors.append((event.label, event.value))
            case Metric(name=name) if name == SENSITIVITY:
                self.sensitivity.setdefault(event.label, {})[event.step] = event.value
            case Metric(name=name) if name == ASSIGNED:
                self.assigned[event.label] = event.value
            case Metric():
                self.metrics[event.name] = event.value
            case Log():
                self.log.append(event.text)
            case Artifact():
                self.artifacts.append((event.kind, event.path))

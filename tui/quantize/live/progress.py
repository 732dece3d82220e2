"""A quantization's events folded into what its live view shows. Pure: no screen, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.runs.state.events import Event, Metric
from tui.experiment import progress

LAYER_ERROR = "layer_error"
SENSITIVITY = "sensitivity_kl"
ASSIGNED = "assigned_bits"


@dataclass
class RunProgress(progress.RunProgress):
    """What has been heard of one quantization so far."""

    errors: list[tuple[str, float | None]] = field(default_factory=list)
    """(linear, relative error) of the present pass in the order of arrival; None where it is not finite."""
    sensitivity: dict[str, dict[int, float | None]] = field(default_factory=dict)
    """linear -> bits -> KL divergence of the model in which it alone has so few."""
    assigned: dict[str, float | None] = field(default_factory=dict)
    """linear -> bits that it got, in a mixed quantization."""
    passes: int = 0
    """How often the run has begun with the first linear: a comparison quantizes the model several times."""
    _step: int = -1

    def apply(self, event: Event) -> None:
        match event:
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
            case _:
                super().apply(event)

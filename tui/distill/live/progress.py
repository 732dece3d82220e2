"""A distillation's events folded into what its live view shows. Pure: no screen, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.distill.events import HeldOut
from core.runs.state.events import Detail, Event, Metric
from tui.experiment import progress

LOSS = "distill_loss"


@dataclass
class RunProgress(progress.RunProgress):
    """What has been heard of one distillation so far, or of several in turn."""

    held_out: dict[str, dict[int, HeldOut]] = field(default_factory=dict)
    """label of a training -> step -> evaluation; the label of a single one is empty."""
    losses: dict[str, dict[int, float | None]] = field(default_factory=dict)
    """part of the loss ("" for the whole) -> step -> value, of the latest training."""

    @property
    def newest(self) -> HeldOut | None:
        """The last evaluation of the latest training."""
        curve = next(reversed(self.held_out.values()), None)
        return None if not curve else curve[max(curve)]

    @property
    def untrained(self) -> HeldOut | None:
        """The first evaluation of the latest training."""
        curve = next(reversed(self.held_out.values()), None)
        return None if not curve else curve[min(curve)]

    def apply(self, event: Event) -> None:
        match event:
            case Detail(kind=HeldOut.kind):
                if (found := HeldOut.parse(event.data)) is not None:
                    if found.label not in self.held_out:
                        self.losses = {}
                    self.held_out.setdefault(found.label, {})[found.step] = found
            case Metric(name=name) if name == LOSS:
                self.losses.setdefault(event.label, {})[event.step] = event.value
            case _:
                super().apply(event)

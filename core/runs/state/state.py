"""The state of a run, as state.json holds it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.result import Figures
from core.runs.state.process import Place

Status = Literal["queued", "running", "done", "failed", "cancelled"]

ENDED: frozenset[Status] = frozenset({"done", "failed", "cancelled"})


LATEST = 253370764800.0
"""The year 9999: no calendar has a later time."""
Moment = Annotated[float, Field(ge=0, lt=LATEST)]
"""Seconds since 1970."""
Uptime = Annotated[float, Field(ge=0, lt=LATEST)]
"""Of `core.runs.state.process.started`."""
Pid = Annotated[int, Field(gt=0, lt=2**31)]
Steps = Annotated[int, Field(ge=0, lt=2**53)]


class Position(Figures):
    """How far a run is: `done` of `total` steps, and what comes next."""

    done: Steps
    total: Steps
    label: str = ""

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0


class State(Figures):
    """What is damaged in the file counts as not there."""

    status: Status
    created: Moment = 0.0
    resumed: Moment | None = None
    """When it was last asked to go on."""
    started: Moment | None = None
    ended: Moment | None = None
    pid: Pid | None = None
    pid_started: Uptime | None = None
    supervisor: Pid | None = None
    supervisor_started: Uptime | None = None
    host: str = ""
    boot: str = ""
    namespace: str = ""
    exit_code: Annotated[int, Field(ge=0, lt=256)] | None = None
    exit_reason: str | None = None
    progress: Position | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED

    @property
    def place(self) -> Place:
        """The machine and pid namespace in which `pid` is meant."""
        return Place(self.host, self.boot, self.namespace)

    def seconds(self, now: float) -> float | None:
        """How long the run has worked so far, or did; None before it began."""
        if self.started is None:
            return None
        return max((self.ended if self.ended is not None else now) - self.started, 0.0)

    def seconds_left(self, now: float) -> float | None:
        """Time left by the pace so far; None while that is not known."""
        worked = self.seconds(now)
        if self.status != "running" or worked is None or self.progress is None or not 0 < self.progress.fraction < 1:
            return None
        return worked * (1 - self.progress.fraction) / self.progress.fraction

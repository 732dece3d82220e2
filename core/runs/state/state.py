"""The state of a run, as state.json holds it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.runs.state.process import Place

Status = Literal["queued", "running", "done", "failed", "cancelled"]

ENDED: frozenset[Status] = frozenset({"done", "failed", "cancelled"})


class Position(BaseModel):
    """How far a run is: `done` of `total` steps, and what comes next."""

    model_config = ConfigDict(frozen=True)

    done: int
    total: int
    label: str = ""

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0


class State(BaseModel):
    """Times are seconds since 1970; `pid_started` is of `core.runs.state.process.started`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Status
    created: float
    resumed: float | None = None
    """When it was last asked to go on."""
    started: float | None = None
    ended: float | None = None
    pid: int | None = None
    pid_started: float | None = None
    supervisor: int | None = None
    supervisor_started: float | None = None
    host: str = ""
    boot: str = ""
    namespace: str = ""
    exit_code: int | None = None
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

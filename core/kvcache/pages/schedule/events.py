"""What the live view of a scheduler simulation reads. Every figure is a simulation."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

from core.event import DetailEvent, at_most, shown

MOST_REQUESTS = 64
_Name = Annotated[str, shown(20)]


class RequestState(NamedTuple):
    """One request of a simulation; a list in JSON."""

    id: int
    state: _Name
    """prefill, decode or waiting."""
    prompt: int
    generated: int
    output: int
    blocks: int


class ScheduleEvent(DetailEvent):
    """The state of a simulated scheduler."""

    kind: ClassVar[str] = "schedule"

    policy: _Name
    """continuous or static."""
    time: float
    """Simulated seconds since the simulation began."""
    step: int
    """Model steps so far."""
    running: int
    """Requests, as `waiting` and `finished`."""
    waiting: int
    finished: int
    preempted: int
    """How often, so far."""
    blocks: int
    """KV blocks of the memory."""
    used: int
    """Of them in use, or set aside by static batching."""
    utilization: float
    """used / blocks."""
    filled: float
    """Share of the used blocks' slots that hold a token."""
    tokens: int
    """Generated so far."""
    rate: float
    """tokens / time."""
    requests: Annotated[tuple[RequestState, ...], at_most(MOST_REQUESTS)] = ()
    """Those running, then those waiting."""

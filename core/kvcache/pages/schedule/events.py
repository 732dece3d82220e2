"""What the live view of a scheduler simulation reads.

Detail event of kind "schedule" (mode simulate; every figure is a simulation), `data`:

    policy      str     continuous | static
    time        float   simulated seconds since the first arrival could be
    step        int     model steps so far
    running, waiting, finished, preempted   int     requests (preempted: how often, so far)
    blocks, used  int   KV blocks of the memory, and those in use (static: set aside)
    utilization float   used / blocks
    filled      float   share of the used blocks' slots that hold a token
    tokens      int     tokens generated so far
    rate        float   tokens generated / time
    requests    [[id, state, prompt, generated, output, blocks], ...]
                          at most 64 of those running, then waiting; state: prefill | decode | waiting
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from core.sanitize import clean

KIND = "schedule"
MOST_REQUESTS = 64
_FIGURES: dict[str, type[int] | type[float]] = dict.fromkeys(("step", "running", "waiting", "finished", "preempted", "blocks", "used", "tokens"), int)
_FIGURES |= dict.fromkeys(("time", "utilization", "filled", "rate"), float)


@dataclass(frozen=True, slots=True)
class RequestState:
    """One request of a simulation."""

    id: int
    state: str
    prompt: int
    generated: int
    output: int
    blocks: int


@dataclass(frozen=True, slots=True)
class ScheduleEvent:
    """The state of a simulated scheduler; the fields are told at the head of this module."""

    kind: ClassVar[str] = KIND
    policy: str
    time: float
    step: int
    running: int
    waiting: int
    finished: int
    preempted: int
    blocks: int
    used: int
    utilization: float
    filled: float
    tokens: int
    rate: float
    requests: tuple[RequestState, ...] = ()

    def data(self) -> dict[str, Any]:
        """Plain values."""
        plain = asdict(self)
        plain["requests"] = [list(asdict(request).values()) for request in self.requests[:MOST_REQUESTS]]
        return plain


def parse(data: Mapping[str, Any]) -> ScheduleEvent | None:
    """The event of a Detail's data; None for what no version of this program wrote. Its texts are safe to show."""
    try:
        figures: dict[str, Any] = {name: cast(data[name]) for name, cast in _FIGURES.items()}
        return ScheduleEvent(
            policy=clean(str(data["policy"]), limit=20),
            **figures,
            requests=tuple(RequestState(int(id_), clean(str(state), limit=20), *map(int, rest)) for id_, state, *rest in data["requests"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None

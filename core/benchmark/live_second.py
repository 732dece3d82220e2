"""What a load tells its live view, at most once a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class SecondEvent:
    """The load as it stands; figures of answers are those that ended since the last event, None where none did."""

    kind: ClassVar[str] = "second"
    t: float
    """Seconds since the load began."""
    scheduled: int
    """Requests in all."""
    sent: int
    """Those that are over or under way."""
    done: int
    failed: int
    timed_out: int
    running: int
    """Under way, as the client counts them."""
    tokens_per_second: float | None
    requests_per_second: float | None
    ttft_ms: float | None
    """Median."""
    itl_ms: float | None
    e2el_ms: float | None
    level: float | None = None
    """Of a sweep: the rate or the concurrency that is being measured."""
    server_running: float | None = None
    """What the server says of itself."""
    server_waiting: float | None = None
    kv_usage: float | None = None
    memory: int | None = None
    """Bytes of the server's processes."""
    paused: float | None = None
    """Seconds since the person let it wait; None while it goes on."""
    paused_before: float | None = None
    """Seconds of all pauses that are over."""

    def data(self) -> dict[str, Any]:
        """For `RunContext.detail(SecondEvent.kind, ...)`."""
        return asdict(self)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self | None:
        """The event of a detail's data; None for anything else."""
        try:
            return cls(**{each.name: _number(data.get(each.name), each.type, whole=str(each.type) == "int") for each in fields(cls)})
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


def _number(value: Any, annotation: object, *, whole: bool) -> Any:
    if value is None and str(annotation).endswith("None"):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError("not a number")
    return int(value) if whole else float(value)

"""What must be said of a load that did not go through from its beginning to its end."""

from __future__ import annotations

from collections.abc import Sequence

from core.benchmark.result import Level
from core.errors import Cancelled, EarlyEnd


def why_stopped(error: EarlyEnd, levels: Sequence[Level]) -> str:
    """Why a load ended early, and what its figures are of."""
    if _nothing(error, levels):
        return str(error)
    reason = "stopped by the user" if isinstance(error, Cancelled) else str(error)
    return f"{reason}: the figures cover the {_answered(levels)} requests answered before"


def kept_words(error: EarlyEnd, levels: Sequence[Level]) -> str:
    """How a run ended early, and what is left of it."""
    if _nothing(error, levels):
        return str(error)
    kept = f"the figures of {_answered(levels)} requests are kept"
    return kept if isinstance(error, Cancelled) else f"{error}; {kept}"


def _nothing(error: EarlyEnd, levels: Sequence[Level]) -> bool:
    """Whether there is nothing to be said but the error itself."""
    return not isinstance(error, Cancelled) and not any(level.requests.done for level in levels)


def _answered(levels: Sequence[Level]) -> str:
    done, scheduled = (sum(getattr(level.requests, name) for level in levels) for name in ("done", "scheduled"))
    return f"{done} of {scheduled}"


def pause_warnings(levels: Sequence[Level]) -> tuple[str, ...]:
    """A sentence where the load was paused."""
    pauses = [pause for level in levels for pause in level.pauses]
    if not pauses:
        return ()
    times = "once" if len(pauses) == 1 else f"{len(pauses)} times"
    return (
        f"the load was paused {times}, {sum(pause.seconds for pause in pauses):.1f} s in all: that time counts "
        "towards no rate, the schedule was paused, and requests in flight were answered by a server under decreasing load",
    )

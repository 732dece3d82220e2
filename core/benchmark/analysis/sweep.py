"""Which levels of load are tried, which is the knee, and which is the highest that still meets the objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Final

from core.benchmark.result import Level
from core.benchmark.spec import BenchmarkSpec

_MOST_LEVELS = 12
_STANDS_STILL = 1.05
_HALVINGS = 3
_ROUNDS = 2
_NEAR = 1.1
RATE_REACHED: Final = 0.95
"""Share of a rate that must really be sent for the rate to count as reached."""


def swept(spec: BenchmarkSpec, measure: Callable[[float], Level]) -> tuple[Level, ...]:
    """Measure the given levels; else doubled ones, until the throughput has gained less than 5 % twice, half of the requests fail, or there are
    too few requests for more.

    Where there are objectives, the gap between the highest level that meets them and the next that does not is then halved, by the
    ratio, at most three times.

    Args:
        spec: of the sweep.
        measure: puts a load of a level on the server.

    Returns:
        The levels, ascending.
    """
    if spec.levels:
        return tuple(measure(level) for level in spec.levels)
    level, still = (1.0 if spec.sweep == "concurrency" else spec.rate), 0
    found: list[Level] = []
    while len(found) < _MOST_LEVELS and still < 2 and (not found or fills(spec, level)):
        best = max((_speed(each) for each in found), default=0.0)
        found.append(measure(level))
        if found[-1].requests.done < 0.5 * found[-1].requests.scheduled:
            break
        still = 0 if _speed(found[-1]) > _STANDS_STILL * best else still + 1
        level *= 2
    return _refined(spec, found, measure) if spec.objectives else tuple(found)


def _refined(spec: BenchmarkSpec, found: list[Level], measure: Callable[[float], Level]) -> tuple[Level, ...]:
    """The levels, and some more between the highest that meets the objectives and the next."""
    for _ in range(_HALVINGS):
        found.sort(key=_place)
        low = highest_meeting(found, spec)
        high = next((_place(level) for level in found if low is not None and _place(level) > low), None)
        if low is None or high is None or high <= _NEAR * low:
            break
        between = sqrt(low * high)
        level = float(round(between)) if spec.sweep == "concurrency" else float(f"{between:.3g}")
        if not (low < level < high and fills(spec, level)):
            break
        found.append(measure(level))
    return tuple(sorted(found, key=_place))


def fills(spec: BenchmarkSpec, level: float) -> bool:
    """Whether there are requests enough for a level of a sweep: at a concurrency each user sends two at least, else no time is spent at it."""
    return spec.sweep != "concurrency" or spec.requests >= _ROUNDS * level


def knee_of(levels: Sequence[Level]) -> float | None:
    """The level from which on more load costs more latency than it brings throughput: the largest throughput / median end-to-end latency.

    This quotient is the power of a queueing system (Kleinrock 1979). None for fewer than three levels.
    """
    powers = []
    for level in levels:
        latency = level.metrics["e2el_ms"].p50
        if level.level is not None and latency:
            powers.append((_speed(level) / latency, level.level))
    return max(powers)[1] if len(powers) >= 3 else None


def highest_meeting(levels: Sequence[Level], spec: BenchmarkSpec) -> float | None:
    """The highest level of a sweep up to which every level meets the objectives; a rate counts only where it was really sent.

    None without objectives, or where the lowest level does not meet them.
    """
    highest = None
    for level in sorted(levels, key=_place):
        if not (level.meets_objectives and (spec.sweep == "concurrency" or rate_reached(level))):
            break
        highest = level.level
    return highest


def rate_reached(level: Level) -> bool:
    """Whether requests were sent as fast as their schedule has them: that of a random one, as it was drawn, and not as fast as on average."""
    return level.achieved_rate is not None and level.achieved_rate >= RATE_REACHED * (level.scheduled_rate or _place(level))


def _place(level: Level) -> float:
    return level.level or 0.0


def _speed(level: Level) -> float:
    return level.throughput_tokens_per_second or level.throughput_requests_per_second or 0.0

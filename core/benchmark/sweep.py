"""Which levels of load are tried, and which is the knee."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.benchmark.result import Level
from core.benchmark.spec import BenchmarkSpec

_MOST_LEVELS = 12
_STANDS_STILL = 1.05


def swept(spec: BenchmarkSpec, measure: Callable[[float], Level]) -> tuple[Level, ...]:
    """Measure the given levels; else doubled ones, until the throughput has gained less than 5 % twice, or half of the requests fail.

    Args:
        spec: of the sweep.
        measure: puts a load of a level on the server.
    """
    if spec.levels:
        return tuple(measure(level) for level in spec.levels)
    level, still = (1.0 if spec.sweep == "concurrency" else spec.rate), 0
    found: list[Level] = []
    while len(found) < _MOST_LEVELS and still < 2:
        best = max((_speed(each) for each in found), default=0.0)
        found.append(measure(level))
        if found[-1].requests.done < 0.5 * found[-1].requests.scheduled:
            break
        still = 0 if _speed(found[-1]) > _STANDS_STILL * best else still + 1
        level *= 2
    return tuple(found)


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


def _speed(level: Level) -> float:
    return level.throughput_tokens_per_second or level.throughput_requests_per_second or 0.0

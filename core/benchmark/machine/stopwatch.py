"""Time something short, several times, on a device that may still be working when a call returns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, stdev

_WARM = 2
_MOST_CALLS = 10_000


@dataclass(frozen=True)
class Timed:
    """Seconds of a call, one figure a repeat."""

    seconds: tuple[float, ...]

    def rate(self, work: float) -> tuple[float, float]:
        """Mean and standard deviation of `work` a second over the repeats."""
        rates = [work / max(each, 1e-12) for each in self.seconds]
        return mean(rates), stdev(rates) if len(rates) > 1 else 0.0


@dataclass(frozen=True)
class Stopwatch:
    """How calls are timed.

    clock: seconds. synchronize: returns when the device has done all that was queued. least: seconds that a repeat takes at least, by calling several
    times, so that the clock and the call itself weigh little. most: seconds for all repeats; a slow call is repeated less, twice at least.
    """

    clock: Callable[[], float] = time.perf_counter
    synchronize: Callable[[], None] = lambda: None
    least: float = 0.005
    most: float = 20.0

    def time(self, call: Callable[[], object], repeats: int, between: Callable[[], None] = lambda: None) -> Timed:
        """Call without timing first, then `repeats` times; `between` is called off the clock."""
        once = math.inf
        for _ in range(_WARM):
            between()
            once = min(once, self._once(call, 1))
            if once > self.most / 4:
                break
        calls = max(1, min(_MOST_CALLS, math.ceil(self.least / max(once, 1e-9))))
        wanted = max(2, min(repeats, int(self.most / max(once, 1e-9))))
        found = []
        for _ in range(wanted):
            between()
            found.append(self._once(call, calls) / calls)
        return Timed(tuple(found))

    def _once(self, call: Callable[[], object], calls: int) -> float:
        self.synchronize()
        begun = self.clock()
        for _ in range(calls):
            call()
        self.synchronize()
        return self.clock() - begun

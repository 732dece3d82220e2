"""When requests are due. One schedule is made for all worker processes: split schedules are not Poisson together.

All times are seconds from the start of the load, ascending, float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import RequestError

Times = NDArray[np.float64]


def constant(rate: float, count: int) -> Times:
    """One request every 1/rate seconds."""
    _check(rate, count)
    return np.arange(count, dtype=np.float64) / rate


def gamma(rate: float, count: int, burstiness: float, seed: int) -> Times:
    """Independent gaps of a gamma distribution of mean 1/rate.

    Args:
        rate: requests per second.
        count: requests.
        burstiness: the coefficient of variation squared of the gaps: 1 is Poisson, less is more even, more comes in bursts.
        seed: of the draws.
    """
    _check(rate, count)
    if not burstiness > 0:
        raise RequestError(f"burstiness = {burstiness} is invalid: give more than 0 (1 is Poisson)")
    shape = 1 / burstiness
    gaps = np.random.default_rng(seed).gamma(shape, 1 / (rate * shape), count)
    return np.cumsum(gaps) - gaps[0] if count else gaps


def poisson(rate: float, count: int, seed: int) -> Times:
    """Arrivals of independent users: gaps of an exponential distribution of mean 1/rate."""
    return gamma(rate, count, 1.0, seed)


def ramp(first: float, last: float, seconds: float, seed: int) -> Times:
    """A Poisson process whose rate goes evenly from `first` to `last` requests per second within `seconds`.

    Made by turning a process of rate 1 back through the integral of the rate (Lewis and Shedler 1979, time rescaling).
    """
    for rate in (first, last):
        if not (rate >= 0 and np.isfinite(rate)):
            raise RequestError(f"rate = {rate} is invalid: give requests per second, 0 or more")
    if not seconds > 0 or first + last == 0:
        raise RequestError("a ramp needs a duration above 0 seconds and a rate above 0 at one end")
    total = (first + last) / 2 * seconds
    generator = np.random.default_rng(seed)
    units = np.cumsum(generator.exponential(1.0, int(total + 10 * np.sqrt(total) + 20)))
    units = units[units < total]
    slope = (last - first) / seconds
    if abs(slope) < 1e-12:
        return units / first
    times: Times = (np.sqrt(first * first + 2 * slope * units) - first) / slope
    return times


def trace(times: Sequence[float], scale: float = 1.0) -> Times:
    """Arrivals as they were recorded, from the first on; `scale` 2 is twice as fast.

    Raises:
        RequestError: no times, times that go back, or a scale that is not positive.
    """
    if not len(times):
        raise RequestError("the trace has no requests: give at least one")
    if not scale > 0:
        raise RequestError(f"speed = {scale} is invalid: give more than 0")
    recorded: Times = np.asarray(times, dtype=np.float64)
    if not np.isfinite(recorded).all():
        raise RequestError("the trace has a time that is not a number")
    back = np.flatnonzero(np.diff(recorded) < 0)
    if len(back):
        raise RequestError(f"the trace goes back in time at its request {int(back[0]) + 2}: sort it by time")
    gone: Times = (recorded - recorded[0]) / scale
    return gone


def at_once(count: int) -> Times:
    """Everything is due at the start; a limit on concurrency spreads it."""
    return np.zeros(count, dtype=np.float64)


def _check(rate: float, count: int) -> None:
    if not (rate > 0 and np.isfinite(rate)):
        raise RequestError(f"rate = {rate} is invalid: give requests per second, more than 0")
    if count < 1:
        raise RequestError(f"requests = {count} is invalid: give at least one")

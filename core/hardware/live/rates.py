"""Throughput from counters."""

from __future__ import annotations

from collections.abc import Hashable


class Rates:
    """Differences of growing counters, per second."""

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[float, float, float | None]] = {}

    def rate(self, key: Hashable, value: float | None, t: float) -> float | None:
        """Units per second since the last call with this key.

        None at the first call, when the counter is not available, and when it was set back. When the
        driver has not refreshed the counter since (`t` unchanged), the last rate is kept.
        """
        if value is None:
            self._last.pop(key, None)
            return None
        before = self._last.get(key)
        if before is not None and t <= before[1]:
            return before[2]
        rate = (value - before[0]) / (t - before[1]) if before is not None and value >= before[0] else None
        self._last[key] = (value, t, rate)
        return rate

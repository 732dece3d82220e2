"""Figures as a user reads them. What was not measured is a dash, never a zero."""

from __future__ import annotations

import math
from typing import Any

from core.measure import units as shared

NOTHING = "-"


def size(n_bytes: Any) -> str:
    """Bytes in binary units: `13.3 MiB`."""
    value = number(n_bytes)
    return NOTHING if value is None else shared.size(value)


def duration(seconds: Any) -> str:
    """`8.2 s`, `3 min 05 s`, `2 h 07 min`."""
    value = number(seconds)
    return NOTHING if value is None else shared.duration(value)


def figure(value: Any, digits: int = 4) -> str:
    """A number with significant digits: `12.61`, `0.00123`, `1.2e-07`."""
    read = number(value)
    if read is None:
        return NOTHING
    if read == 0:
        return "0"
    exponent = math.floor(math.log10(abs(read)))
    if -5 < exponent < 6:
        return f"{read:.{max(digits - 1 - exponent, 0)}f}"
    return f"{read:.{digits - 1}e}"


def percent(value: Any, digits: int = 2) -> str:
    """A share as `94.12 %`."""
    read = number(value)
    return NOTHING if read is None else f"{100 * read:.{digits}f} %"


def plus_minus(text: str, error: Any, *, scale: float = 1.0) -> str:
    """A figure with its standard error behind it, where one was measured."""
    read = number(error)
    return text if read is None or text == NOTHING else f"{text} ± {figure(read * scale, 2)}"


def count(value: Any) -> str:
    """A whole number with thousands separated."""
    read = number(value)
    return NOTHING if read is None else f"{round(read):,}"


def number(value: Any) -> float | None:
    """A finite number, or None for anything else (also for booleans and text)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None

"""Round numbers for an axis, and short texts for them."""

from __future__ import annotations

import math
from itertools import pairwise

_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def ticks(low: float, high: float, wanted: int) -> tuple[float, ...]:
    """About `wanted` round positions (1, 2, 2.5 or 5 times a power of ten) within [low, high]."""
    step = round_step((high - low) / max(wanted, 1))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(index * step for index in range(first, min(last, first + 4 * wanted) + 1))


def round_step(rough: float) -> float:
    """The least of 1, 2, 2.5, 5, 10 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def log_ticks(low: float, high: float, wanted: int) -> tuple[float, ...]:
    """Positions in log10 units: whole decades, or 1, 2, 5 of each where there are too few decades."""
    decades = [float(decade) for decade in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    if len(decades) >= 3:
        return tuple(decades[:: math.ceil(len(decades) / max(wanted, 2))])
    fine = [decade + math.log10(factor) for decade in range(math.floor(low), math.ceil(high) + 1) for factor in (1, 2, 5)]
    inside = tuple(tick for tick in fine if low - 1e-9 <= tick <= high + 1e-9)
    return inside if len(inside) >= 2 else (low, high)


def tick_labels(positions: tuple[float, ...]) -> list[str]:
    """Texts with just as many digits as tell the positions apart."""
    largest = max((abs(position) for position in positions), default=0.0)
    scale, suffix = next(((scale, suffix) for scale, suffix in _SI if largest >= scale * 10), (1.0, ""))
    scaled = [position / scale for position in positions]
    if largest >= 1e15 or 0 < largest < 1e-3:
        return [short(position) for position in positions]
    step = min((b - a for a, b in pairwise(scaled)), default=abs(scaled[0]) if scaled and scaled[0] else 1.0)
    digits = next((digits for digits in range(7) if abs(round(step, digits) - step) < step * 1e-6), 6)
    return [f"{value:z.{digits}f}{suffix}" if value else "0" for value in scaled]


def short(value: float, digits: int = 3) -> str:
    """A number in few characters: 0.0123, 1.5, 12.3k, 4.2e-7."""
    if not math.isfinite(value):
        return "not finite"
    magnitude = abs(value)
    if magnitude >= 1e15 or 0 < magnitude < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    scale, suffix = next(((scale, suffix) for scale, suffix in _SI if magnitude >= scale * 10), (1.0, ""))
    scaled = value / scale
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(scaled)))) if scaled else 0
    text = f"{scaled:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + suffix

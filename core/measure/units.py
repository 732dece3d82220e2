"""Numbers as a user reads them."""

from __future__ import annotations


def size(n_bytes: float) -> str:
    """Bytes in binary units."""
    value, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while abs(value) >= 1023.95 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units, short times in milliseconds."""
    if 0 < seconds < 0.0995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def number(value: float) -> str:
    """Five significant digits; whole numbers with separators."""
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value) and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:.5g}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.2f} %"

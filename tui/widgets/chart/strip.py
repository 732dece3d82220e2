"""Meters and histories of one line, in block and braille characters: a few hundred bytes a refresh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = " ▁▂▃▄▅▆▇█"
_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""Braille dots of the left and right column, filled from below to a height of 0 to 4."""


def meter(percent: float | None, width: int) -> str:
    """A bar of exactly `width` cells, exact to an eighth of a cell; dots where the share is not available."""
    if percent is None:
        return "·" * width
    eighths = round(min(max(percent, 0.0), 100.0) / 100 * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def history(values: Sequence[float | None], width: int, top: float = 100.0) -> str:
    """The last `2 * width` values as columns of up to four dots, newest right; a value not available leaves a gap, any other at least one dot."""
    recent = list(values[-2 * width :]) if width > 0 else []
    heights = [0] * (2 * width - len(recent)) + [_height(value, top or 1.0) for value in recent]
    return "".join(_cell(heights[at], heights[at + 1]) for at in range(0, 2 * width, 2))


def columns(percents: Iterable[float], width: int) -> str:
    """One character a value, as high as its share; neighbours are averaged where there are more values than cells."""
    shares = list(percents)
    if len(shares) > width > 0:
        step = len(shares) / width
        shares = [_mean(shares[int(at * step) : max(int((at + 1) * step), int(at * step) + 1)]) for at in range(width)]
    return "".join(_HEIGHTS[min(max(round(share / 100 * 8), 1), 8)] for share in shares[: max(width, 0)])


def _cell(left: int, right: int) -> str:
    return chr(0x2800 + _LEFT[left] + _RIGHT[right]) if left or right else " "


def _height(value: float | None, top: float) -> int:
    if value is None:
        return 0
    return min(max(round(value / top * 4), 1), 4)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

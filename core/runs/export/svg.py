"""Charts as SVG text: axes with round numbers, every label escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 16, 16, 44
_TICKS = 5


def _four_digits(value: float) -> str:
    return f"{value:.4g}"


@dataclass(frozen=True)
class Point:
    """A value at a place, with the text that is shown when the pointer rests on it."""

    x: float
    y: float
    hint: str = ""


@dataclass(frozen=True)
class Scale:
    """A range of values laid onto a range of pixels."""

    low: float
    high: float
    begin: float
    end: float
    unit: float = 1.0
    """Marks stand at round numbers of this."""

    def marks(self) -> list[float]:
        """Round values within the range."""
        margin = 1e-9 * abs(self.high - self.low)
        return [value for value in ticks(self.low, self.high, self.unit) if self.low - margin <= value <= self.high + margin]

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.begin + share * (self.end - self.begin)


def line_chart(
    lines: Sequence[tuple[str, Sequence[Point]]],
    *,
    x: str,
    y: str,
    show: Callable[[float], str] = _four_digits,
    show_x: Callable[[float], str] = _four_digits,
    whole: bool = False,
    zero: bool = False,
    dots: Sequence[tuple[str, Sequence[Point]]] = (),
) -> str:
    """Lines through points, and points that no line joins; at most eight of both differ by dash and colour.

    Args:
        lines: each with its name.
        x: the label below.
        y: the label at the left.
        show: a mark at the left, as a text.
        show_x: a mark below, as a text.
        whole: marks below stand at whole numbers only, as of powers.
        zero: whether the height begins at zero.
        dots: groups of points, each with its name.
    """
    points = [point for _, line in (*lines, *dots) for point in line]
    across, up = _scales(points, zero=zero)
    body = [_axes(across, up, x, y, show, show_x, whole=whole)]
    for index, (_, cloud) in enumerate(dots, len(lines)):
        body += [_dot(across(point.x), up(point.y), point.hint, index, 4.0) for point in cloud]
    for index, (_, line) in enumerate(lines):
        path = " ".join(f"{across(point.x):.1f},{up(point.y):.1f}" for point in line)
        body.append(f'<polyline class="line s{index % 8}" points="{path}"/>')
        body += [_dot(across(point.x), up(point.y), point.hint, index) for point in line[:: max(len(line) // 400, 1)]]
    return _svg(body, f"{y} by {x}") + _legend([name for name, _ in (*lines, *dots)])


def scatter_chart(clouds: Sequence[tuple[str, Sequence[Point]]], *, x: str, y: str) -> str:
    """Dots, with the diagonal on which both values are equal."""
    across, up = _scales([point for _, cloud in clouds for point in cloud], zero=False)
    low, high = max(across.low, up.low), min(across.high, up.high)
    diagonal = f'<line class="grid" x1="{across(low):.1f}" y1="{up(low):.1f}" x2="{across(high):.1f}" y2="{up(high):.1f}"/>' if high > low else ""
    dots = [_dot(across(point.x), up(point.y), point.hint, index) for index, (_, cloud) in enumerate(clouds) for point in cloud]
    return _svg([_axes(across, up, x, y, lambda value: f"{value:.3g}"), diagonal, *dots], f"{y} against {x}") + _legend([name for name, _ in clouds])


def bar_chart(bars: Sequence[tuple[str, float]], *, y: str, show: Callable[[float], str] = lambda value: f"{value:.4g}", unit: float = 1.0) -> str:
    """Bars from zero, each with its name below and its value above."""
    return stacked_chart([(name, [value]) for name, value in bars], (), y=y, show=show, unit=unit)


def stacked_chart(
    bars: Sequence[tuple[str, Sequence[float]]],
    parts: Sequence[str],
    *,
    y: str,
    show: Callable[[float], str] = lambda value: f"{value:.4g}",
    unit: float = 1.0,
) -> str:
    """Bars of parts that stand on each other, each bar with its name below and its sum above; parts are not negative, or there is one."""
    _, up = _scales([Point(0, sum(values)) for _, values in bars], zero=True, unit=unit)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(bars), 1)
    body = [_axes(None, up, "", y, show)]
    for index, (name, values) in enumerate(bars):
        left, base = _LEFT + index * step, 0.0
        for part, value in enumerate(values):
            low, high = up(base), up(base + value)
            what = f"{name}, {parts[part]}" if parts else name
            body.append(
                f'<rect class="s{part % 8}" x="{left + 0.12 * step:.1f}" y="{min(low, high):.1f}" width="{0.76 * step:.1f}" '
                f'height="{abs(low - high):.1f}"><title>{escape(f"{what}: {show(value)}")}</title></rect>'
            )
            base += value
        if len(bars) <= 12:
            lines = textwrap.wrap(name, max(int(step / 6.5), 4), max_lines=2, placeholder="…")
            body += [_text(left + 0.5 * step, HEIGHT - _BOTTOM + 16 + 14 * row, line, "middle") for row, line in enumerate(lines)]
            body.append(_text(left + 0.5 * step, min(up(base), up(0.0)) - 4, show(base), "middle"))
    return _svg(body, y) + _legend(parts)


def ticks(low: float, high: float, unit: float = 1.0) -> list[float]:
    """About five numbers, round in `unit`, from at most `low` to at least `high`."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return [0.0, 1.0]
    if high <= low:
        margin = abs(low) * 0.1
        low, high = low - margin, high + (margin or 1.0)
    low, high = low / unit, high / unit
    raw = (high - low) / (_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step * unit for index in range(first, last + 1)]


def _scales(points: Sequence[Point], *, zero: bool, unit: float = 1.0) -> tuple[Scale, Scale]:
    xs, ys = [point.x for point in points] or [0.0], [point.y for point in points] or [0.0]
    if zero:
        ys = [*ys, 0.0]
    marks = ticks(min(ys), max(ys), unit)
    sides = (min(xs), max(xs)) if max(xs) > min(xs) else (ticks(min(xs), max(xs))[0], ticks(min(xs), max(xs))[-1])
    return Scale(*sides, _LEFT, WIDTH - _RIGHT), Scale(marks[0], marks[-1], HEIGHT - _BOTTOM, _TOP, unit)


def _axes(
    across: Scale | None,
    up: Scale,
    x: str,
    y: str,
    show: Callable[[float], str],
    show_x: Callable[[float], str] = _four_digits,
    *,
    whole: bool = False,
) -> str:
    parts = []
    for value in up.marks():
        place = up(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{place:.1f}" x2="{WIDTH - _RIGHT}" y2="{place:.1f}"/>')
        parts.append(_text(_LEFT - 6, place + 4, show(value), "end"))
    if across is not None:
        marks = [value for value in across.marks() if not whole or value == round(value)]
        parts += [_text(across(value), HEIGHT - _BOTTOM + 16, show_x(value), "middle") for value in marks]
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, x, "middle"))
    parts.append(
        f'<text class="label" transform="translate(12,{(HEIGHT - _BOTTOM + _TOP) / 2:.0f}) rotate(-90)" text-anchor="middle">{escape(y)}</text>'
    )
    return "".join(parts)


def _dot(x: float, y: float, hint: str, index: int, radius: float = 2.5) -> str:
    title = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<circle class="dot s{index % 8}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{title}</circle>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _legend(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    items = "".join(f'<li><span class="key k{index % 8}"></span>{escape(name)}</li>' for index, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def _svg(body: Sequence[str], title: str) -> str:
    inside = "".join(body)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{inside}</svg>'

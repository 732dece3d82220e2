"""How a load went over its time: what was under way, how fast tokens came, how long first tokens took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.benchmark.report.named import Row
from core.benchmark.result import Timeline
from core.measure.units import number
from core.runs.export.svg import Point, line_chart

_MOST = 100
_LEAST = 3
Values = NDArray[np.float64]


def courses(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """(title, SVG) of each course that at least one target has."""
    for title, unit, course in _COURSES:
        lines = [(row.title, course(row.timeline)) for row in rows if row.timeline is not None]
        drawn = [(name, line) for name, line in lines if len(line) > 1]
        if drawn:
            yield f"Over time: {title}", line_chart(drawn, x="seconds from the start of the load", y=unit, show=number, zero=True)


def under_way(timeline: Timeline) -> list[Point]:
    """Requests under way, mean of each bin of time: sent, and not yet at their last token."""
    spans = [(sent, last) for sent, last in zip(timeline.sent, timeline.last, strict=True) if sent is not None and last is not None]
    edges = _edges(timeline)
    if edges is None:
        return []
    return _points(edges, sum((_shares(edges, first, last) for first, last in spans), np.zeros(len(edges) - 1)))


def token_rate(timeline: Timeline) -> list[Point]:
    """Tokens a second in each bin of time; the tokens of an answer are spread evenly from its first to its last."""
    edges = _edges(timeline)
    if edges is None or all(tokens is None for tokens in timeline.tokens):
        return []
    found = np.zeros(len(edges) - 1)
    widths = np.diff(edges)
    for first, last, tokens in zip(timeline.first, timeline.last, timeline.tokens, strict=True):
        if first is None or last is None or not tokens:
            continue
        if last > first:
            found += tokens * _shares(edges, first, last) * widths / (last - first)
        else:
            found[min(int(np.searchsorted(edges, first, "right")) - 1, len(found) - 1)] += tokens
    return _points(edges, found / widths)


def first_token(timeline: Timeline) -> list[Point]:
    """Median time to first token of the requests that were due in each bin of time, in milliseconds; nothing for a bin without one."""
    edges = _edges(timeline)
    if edges is None:
        return []
    known = [(due, 1000 * (first - due)) for due, first in zip(timeline.due, timeline.first, strict=True) if first is not None]
    places = np.clip(np.searchsorted(edges, [due for due, _ in known], "right") - 1, 0, len(edges) - 2)
    latencies = np.asarray([latency for _, latency in known])
    middles = (edges[1:] + edges[:-1]) / 2
    return [
        Point(
            float(middles[place]), float(np.median(latencies[places == place])), f"{number(float(middles[place]))} s: {np.sum(places == place)} due"
        )
        for place in np.unique(places)
    ]


_COURSES: Final[tuple[tuple[str, str, Callable[[Timeline], list[Point]]], ...]] = (
    ("requests in flight", "requests", under_way),
    ("tokens per second", "token/s", token_rate),
    ("time to first token", "ms, median", first_token),
)


def _edges(timeline: Timeline) -> Values | None:
    """Borders of equal bins of time, as many as there are requests, 100 at most; None where too little was answered."""
    ends = [last for last in timeline.last if last is not None]
    if len(ends) < _LEAST or max(ends) <= 0:
        return None
    return np.linspace(0.0, max(ends), min(_MOST, len(ends)) + 1)


def _shares(edges: Values, first: float, last: float) -> Values:
    """The part of each bin that lies between two moments."""
    inside: Values = np.clip(np.minimum(edges[1:], last) - np.maximum(edges[:-1], first), 0.0, None) / np.diff(edges)
    return inside


def _points(edges: Values, values: Values) -> list[Point]:
    return [
        Point(float(first + last) / 2, float(value), f"{number(float(first))} to {number(float(last))} s: {number(float(value))}")
        for first, last, value in zip(edges[:-1], edges[1:], values, strict=True)
    ]

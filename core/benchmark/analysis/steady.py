"""Which part of a load is measured: neither the beginning, while it builds up, nor the end, while it runs dry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.benchmark.client.load import Pause
from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import Window

_SHARE = 0.9
_LEAST = 0.2
_LEFT = 0.5
_ROUNDS = 2
"""Requests that each of those under way at once must have had, for a load to have a steady part."""


def steady_window(outcomes: Sequence[Outcome], begin: int, end: int, pauses: Sequence[Pause] = ()) -> tuple[Window, str]:
    """The time in which the load was full, and how it was found, in words.

    It begins when as many requests are under way as 90 % of their usual number, the upper quartile over time, and ends when fewer are for the
    last time. A load that is never full for a fifth of its time, as one request or a burst, is measured whole, and so is one that has fewer than two
    requests for each that is under way. A pause does not belong to it, nor
    the time after it in which the load becomes full again. A load that was stopped is measured to the moment at which the first of the requests
    that were cut off was sent, as long as that leaves half of it: from there on only the quick ones were answered.

    Args:
        outcomes: of the load.
        begin: nanoseconds of the monotonic clock.
        end: the last piece of all answers, or the end of the load.
        pauses: in which nothing new was sent, one after the other.
    """
    whole = before_cuts(outcomes, Window(begin, end, tuple(pauses)), "the whole load" + pause_suffix(pauses))
    spans = [(outcome.sent, outcome.pieces[-1].t if outcome.pieces else outcome.ended) for outcome in outcomes if outcome.sent is not None]
    known = [(first, last) for first, last in spans if first is not None and last is not None]
    if len(known) < 3 or end <= begin:
        return whole
    edges = np.array(sorted([(first, 1) for first, _ in known] + [(last, -1) for _, last in known]), dtype=np.int64)
    under_way = np.cumsum(edges[:, 1])
    lengths = np.diff(edges[:, 0])
    for pause in pauses:
        lengths = lengths - _shared(edges[:, 0], pause)
    usual = _upper_quartile(under_way[:-1], lengths)
    full = np.flatnonzero(under_way[:-1] >= _SHARE * usual)
    if usual < 1 or not len(full) or _ROUNDS * usual > len(known):
        return whole
    first, last = int(edges[full[0], 0]), int(edges[full[-1] + 1, 0])
    window = Window(first, last, _until_full(pauses, edges[full, 0]))
    if window.seconds < _LEAST * whole[0].seconds:
        return whole
    return before_cuts(outcomes, window, f"while at least 90 % of the usual {usual:g} requests were in flight" + pause_suffix(pauses))


def before_cuts(outcomes: Sequence[Outcome], window: Window, words: str) -> tuple[Window, str]:
    """The window without the time in which answers were begun that the end of the load cut off, and of which not even the tokens are known."""
    begun = [outcome.sent for outcome in outcomes if outcome.status == "cancelled" and outcome.pieces and outcome.sent is not None]
    cut = min(begun, default=window.last)
    if cut >= window.last:
        return window, words
    shorter = Window(window.first, cut, window.without)
    if shorter.seconds >= _LEFT * window.seconds:
        return shorter, f"{words}, to the first truncated request"
    return window, f"{words}; tokens of truncated responses count towards no rate"


def pause_suffix(pauses: Sequence[Pause]) -> str:
    """What is said of pauses behind the words for a window."""
    return f", but for {len(pauses)} pause{'s' if len(pauses) > 1 else ''}" if pauses else ""


def _shared(edges: np.ndarray, pause: Pause) -> np.ndarray:
    """How much of a pause lies between each edge and the next."""
    shared: np.ndarray = np.clip(np.minimum(edges[1:], pause[1]) - np.maximum(edges[:-1], pause[0]), 0, None)
    return shared


def _until_full(pauses: Sequence[Pause], full: np.ndarray) -> tuple[Pause, ...]:
    """Pauses until the load was full again."""
    return apart([(first, int(again[0]) if len(again := full[full >= last]) else last) for first, last in pauses])


def apart(pauses: Sequence[Pause]) -> tuple[Pause, ...]:
    """Pauses that run into each other as one."""
    found: list[Pause] = []
    for first, last in pauses:
        if found and first < found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def _upper_quartile(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    if not len(total) or total[-1] == 0:
        return 0.0
    return float(values[order][np.searchsorted(total, 0.75 * total[-1])])

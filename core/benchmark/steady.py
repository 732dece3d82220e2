"""Which part of a load is measured: neither the beginning, while it builds up, nor the end, while it runs dry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.benchmark.metrics.base import Window
from core.benchmark.outcome import Outcome

_SHARE = 0.9
_LEAST = 0.2


def steady_window(outcomes: Sequence[Outcome], begin: int, end: int) -> tuple[Window, str]:
    """The time in which the load was full, and how it was found, in words.

    It begins when as many requests are under way as 90 % of their usual number, the upper quartile over time, and ends when fewer are for the
    last time. A load that is never full for a fifth of its time, as one request or a burst, is measured whole.

    Args:
        outcomes: of the load.
        begin: nanoseconds of the monotonic clock.
        end: the last piece of all answers, or the end of the load.
    """
    whole = Window(begin, end), "the whole load"
    spans = [(outcome.sent, outcome.pieces[-1].t if outcome.pieces else outcome.ended) for outcome in outcomes if outcome.sent is not None]
    known = [(first, last) for first, last in spans if first is not None and last is not None]
    if len(known) < 3 or end <= begin:
        return whole
    edges = np.array(sorted([(first, 1) for first, _ in known] + [(last, -1) for _, last in known]), dtype=np.int64)
    under_way = np.cumsum(edges[:, 1])
    lengths = np.diff(edges[:, 0])
    usual = _upper_quartile(under_way[:-1], lengths)
    full = np.flatnonzero(under_way[:-1] >= _SHARE * usual)
    if usual < 1 or not len(full):
        return whole
    first, last = int(edges[full[0], 0]), int(edges[full[-1] + 1, 0])
    if last - first < _LEAST * (end - begin):
        return whole
    return Window(first, last), f"while at least 90 % of the usual {usual:g} requests were under way"


def _upper_quartile(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    if not len(total) or total[-1] == 0:
        return 0.0
    return float(values[order][np.searchsorted(total, 0.75 * total[-1])])

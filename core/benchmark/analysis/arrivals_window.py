"""Which part of a load with times of its own is measured: chosen by the schedule, which does not know how the server fares."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from core.benchmark.analysis.steady import apart, before_cuts, pause_suffix
from core.benchmark.client.load import Pause
from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import Window

_LARGEST_LEAD = 0.5


def arrivals_window(outcomes: Sequence[Outcome], begin: int, end: int, pauses: Sequence[Pause] = ()) -> tuple[Window, str]:
    """The time in which requests came, without the beginning, and how it was found, in words.

    It begins when a request that was due first would usually have been answered, by the median from sending to the last piece, and ends when the
    last is due, or where the load was ended before: a window that was chosen by what was under way would begin and end with crowds of random
    arrivals, and show rates that are too high. A load shorter than two answers is measured whole. A pause does not belong to it, nor the time of
    one answer after it.

    Args:
        outcomes: of the load.
        begin: nanoseconds of the monotonic clock.
        end: the last piece of all answers, or the end of the load.
        pauses: in which nothing new was sent, one after the other.
    """
    whole = before_cuts(outcomes, Window(begin, end, tuple(pauses)), "the whole load" + pause_suffix(pauses))
    spans = [outcome.pieces[-1].t - outcome.sent for outcome in outcomes if outcome.pieces and outcome.sent is not None]
    dues = [outcome.due for outcome in outcomes]
    if len(spans) < 3 or max(dues) <= min(dues):
        return whole
    first, last, usual = min(dues), min(max(dues) + 1, end), round(median(spans))
    if usual > _LARGEST_LEAD * (last - first):
        return whole
    without = tuple((start, min(stop + usual, last)) for start, stop in pauses if start < last)
    words = f"as long as requests came, from {usual / 1e9:.3g} s on, when the first would usually have been answered{pause_suffix(pauses)}"
    return before_cuts(outcomes, Window(first + usual, last, apart(without)), words)

"""How important what could be removed was, block by block, and which of it was. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from core.prune.result import ImportanceFigures, PruneResult
from tui.widgets import words
from tui.widgets.chart.strip import meter
from tui.widgets.live import Line, Run

_HEIGHTS = "▁▂▃▄▅▆▇█"
_BAR = 20
_NAME = 11
_LISTED = 64
"""Longest axis whose every part is shown."""
REMOVED = "×"


def importance(result: PruneResult, width: int) -> list[Line]:
    """A bar for each block, as long as the importance that was lost with what was removed; of short axes each part, as high as its score.

    Args:
        result: with importance along at least one axis.
        width: columns.
    """
    found: list[Line] = []
    for axis in dict.fromkeys(each.axis for each in result.importance):
        rows = [each for each in result.importance if each.axis == axis]
        parts = any(each.scores and each.size <= _LISTED for each in rows)
        explained = f"  {_HEIGHTS[0]} to {_HEIGHTS[-1]} score of each, {REMOVED} removed" if parts else ""
        found.append(((f"importance lost with {axis}", "strong"), (explained, "muted")))
        bar = min(_BAR, max(width - _NAME - 31, 6))
        most = max(1 - each.kept_share for each in rows)
        for each in rows:
            found += _row(each, most, bar, width)
    return found


def _row(each: ImportanceFigures, most: float, bar: int, width: int) -> Iterator[Line]:
    name = "whole model" if each.block < 0 else f"block {each.block}"
    lost = 1 - each.kept_share
    drawn = meter(100 * lost / most, bar) if most > 0 else " " * bar
    head: list[Run] = [(f"{name:<{_NAME}} ", ""), (drawn, "bad"), (f" {words.percent(lost, 1):>7}  {each.kept} of {each.size} kept", "")]
    cells = list(_cells(each))
    used = sum(len(text) for text, _ in head) + 2
    if not cells:
        yield tuple(head)
    elif used + len(cells) <= width:
        yield (*head, ("  ", ""), *cells)
    else:
        yield tuple(head)
        indent = _NAME + 1
        room = max(width - indent, 8)
        for first in range(0, len(cells), room):
            yield ((" " * indent, ""), *cells[first : first + room])


def _cells(each: ImportanceFigures) -> Iterator[Run]:
    """Every part of a short axis."""
    if not each.scores or each.size > _LISTED:
        return
    top, removed = max(each.scores), set(each.removed)
    for index, score in enumerate(each.scores):
        if index in removed:
            yield REMOVED, "bad"
        else:
            level = int(score / top * len(_HEIGHTS)) if top > 0 else 0
            yield _HEIGHTS[min(max(level, 0), len(_HEIGHTS) - 1)], "good"

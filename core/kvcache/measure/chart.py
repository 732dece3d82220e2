"""The chart of memory against quality."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.kvcache.result import ChartPoint, KvRow
from core.runs.pareto import on_front

_NORMAL_95 = 1.959964
_ROUNDING = 1e-6
"""Perplexity ratios that differ by no more are equal."""


def chart(rows: Sequence[KvRow]) -> tuple[ChartPoint, ...]:
    """A point for each row that was measured, smallest first, with the 95 % interval of its perplexity ratio."""
    points = [point for row in rows if (point := _point(row)) is not None]
    ordered = sorted(points, key=lambda point: (point.bytes_per_token, point.ppl_ratio))
    marks = on_front([(point.bytes_per_token, point.ppl_ratio) for point in ordered], tolerance=_ROUNDING)
    return tuple(point.model_copy(update={"on_front": mark}) for point, mark in zip(ordered, marks, strict=True))


def _point(row: KvRow) -> ChartPoint | None:
    if row.bytes_per_token is None or row.ppl_ratio is None or row.ln_ppl_ratio is None:
        return None
    spread = _NORMAL_95 * (row.ln_ppl_ratio_se or 0.0)
    return ChartPoint(
        name=row.name,
        title=row.title,
        bytes_per_token=row.bytes_per_token,
        ppl_ratio=row.ppl_ratio,
        low=math.exp(row.ln_ppl_ratio - spread),
        high=math.exp(row.ln_ppl_ratio + spread),
        on_front=False,
    )

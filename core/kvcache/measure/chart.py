"""The chart of memory against quality."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.kvcache.result import ChartPoint, KvRow

_NORMAL_95 = 1.959964


def chart(rows: Sequence[KvRow]) -> tuple[ChartPoint, ...]:
    """A point for each row that was measured, smallest first, with the 95 % interval of its perplexity ratio."""
    points = [point for row in rows if (point := _point(row)) is not None]
    ordered = sorted(points, key=lambda point: (point.bytes_per_token, point.ppl_ratio))
    return tuple(point.model_copy(update={"on_front": not any(_beats(other, point) for other in points)}) for point in ordered)


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


def _beats(one: ChartPoint, other: ChartPoint) -> bool:
    """At least as good in both, better in one; perplexities that are equal to rounding are equal."""
    better, equal = one.ppl_ratio < other.ppl_ratio - 1e-6, abs(one.ppl_ratio - other.ppl_ratio) <= 1e-6
    if one.bytes_per_token < other.bytes_per_token:
        return better or equal
    return one.bytes_per_token == other.bytes_per_token and better

"""Perplexity through each cache while the text is read, as a chart. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from core.sanitize import clean
from tui.widgets.chart.plot import Plot, Series

PPL = "ppl"
"""Name of the metric: its label is the scheme, its step the number of scored tokens."""
_MOST = 6
_FIRST = 8
"""An eighth of the text says too little to decide how far the axis reaches."""
Curves = Mapping[str, Mapping[int, float | None]]


def against_full(curves: Curves) -> Plot:
    """Perplexity so far over the full cache's at the same token, of the last schemes: 1 means no loss. The full cache alone if there is no other."""
    names = list(curves)
    if len(names) < 2:
        return absolute(curves)
    full = curves[names[0]]
    series = [_ratio(name, curves[name], full) for name in names[1:][-_MOST:]]
    left = len(names) - 1 - len(series)
    last = max((x for each in series for x in each.x or ()), default=0.0)
    steady = [y for each in series for x, y in zip(each.x or (), each.y, strict=True) if x >= last / _FIRST]
    return Plot(
        kind="line",
        title="perplexity so far, against the full cache",
        series=tuple(series),
        y_limits=(min(steady), max(steady)) if steady else None,
        x_label=f"scored tokens{f'; {left} earlier schemes in the table' if left else ''}",
        empty="prefill in progress",
    )


def absolute(curves: Curves) -> Plot:
    """Perplexity so far, of the full cache and the last schemes."""
    names = list(curves)
    shown = [*names[:1], *names[1:][-(_MOST - 1) :]]
    series = tuple(Series.of([_finite(value) for value in curves[name].values()], list(curves[name]), label=clean(name)) for name in shown)
    return Plot(kind="line", title="perplexity so far", series=series, x_label="scored tokens", empty="prefill in progress")


def _ratio(name: str, curve: Mapping[int, float | None], full: Mapping[int, float | None]) -> Series:
    points = [(step, value / reference) for step, value in curve.items() if value is not None and (reference := full.get(step))]
    return Series.through(points, clean(name))


def _finite(value: float | None) -> float:
    return float("nan") if value is None else value

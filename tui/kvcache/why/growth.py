"""What generating with and without a cache costs: two charts, a table, the growth in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from core.kvcache.why.result import GrowthFit, KvCacheWhyResult, LengthFigures
from core.sanitize import clean
from tui.experiment.finished import Column
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

_NAMES = ("without a cache", "with a cache")
_POINTS = 24
"""Of a fitted line: it is straight on these axes, but the drawing joins points."""


def time_plot(result: KvCacheWhyResult) -> Plot:
    """Time of the token at each length, measured and fitted, both ways."""
    lengths = [row.tokens for row in result.rows]
    fits = {fit_.cached: fit_ for fit_ in result.fits if fit_.quantity == "token ms"}
    series = []
    for cached, name in enumerate(_NAMES):
        measured = [row.with_ms if cached else row.without_ms for row in result.rows]
        grows = fits.get(bool(cached))
        label = name if grows is None else f"{name} ~ n^{grows.exponent:.2f}"
        series.append(Series.of(measured, lengths, label=label, mark="×+"[cached]))
    lines = [_line(fits[cached], lengths[0], lengths[-1], like=cached) for cached in (False, True) if cached in fits]
    return Plot(
        kind="scatter",
        title="time per token",
        series=(*series, *lines),
        x_label="tokens before it",
        y_unit="ms",
        log_x=True,
        log_y=True,
    )


def progress_plot(curves: Mapping[str, Mapping[int, float | None]]) -> Plot:
    """What a run in progress has reported: time of the token at each length, a line each way."""
    series = [
        Series.of([nan if value is None else value for value in curve.values()], list(curve), label=clean(name), mark="×+"[at % 2])
        for at, (name, curve) in enumerate(curves.items())
    ]
    return Plot(kind="line", title="time per token", series=tuple(series), x_label="tokens before it", y_unit="ms", log_x=True, log_y=True)


def projections_plot(rows: Sequence[LengthFigures]) -> Plot:
    """Key and value vectors computed up to each length, counted, both ways."""
    lengths = [row.tokens for row in rows]
    return Plot(
        kind="line",
        title="keys and values computed",
        series=(
            Series.of([row.without_projections for row in rows], lengths, label=_NAMES[0], mark="×"),
            Series.of([row.with_projections for row in rows], lengths, label=_NAMES[1], mark="+"),
        ),
        x_label="tokens generated",
        y_unit="vectors",
        log_x=True,
        log_y=True,
    )


def _line(grows: GrowthFit, first: int, last: int, like: int) -> Series:
    xs = [first * (last / first) ** (at / (_POINTS - 1)) for at in range(_POINTS)]
    return Series.of([grows.coefficient * x**grows.exponent for x in xs], xs, stroke="line", mark="braille", like=like)


COLUMNS: tuple[Column[LengthFigures], ...] = (
    Column("tokens", 7, lambda row: words.count(row.tokens)),
    Column("ms with", 8, lambda row: words.figure(row.with_ms, 3)),
    Column("w/out", 8, lambda row: words.figure(row.without_ms, 3)),
    Column("faster", 8, lambda row: f"{row.speedup:.1f}x"),
    Column("s with", 8, lambda row: words.figure(row.with_total_seconds, 3), needs=70),
    Column("w/out", 8, lambda row: words.figure(row.without_total_seconds, 3), needs=70),
    Column("K/V with", 10, lambda row: words.count(row.with_projections)),
    Column("w/out", 11, lambda row: words.count(row.without_projections)),
    Column("cache", 11, lambda row: words.size(row.cache_bytes), needs=79),
)
"""Time of the token at that length, of all up to it, keys and values computed, bytes of the cache."""


def sentences(result: KvCacheWhyResult) -> list[tuple[str, str]]:
    """The growth, whether the counts are those of the formula, and how it was measured."""
    agree = all(
        row.with_projections == row.with_projections_formula and row.without_projections == row.without_projections_formula for row in result.rows
    )
    counted = "as n and n(n+1)/2 predict" if agree else "not as n and n(n+1)/2 predict: look at the notes"
    said = {each.sentence for each in result.fits} | {each.sentence for each in result.parts}
    how = f"{result.path} path, {clean(result.device)}, {result.threads} threads, {result.dtype}, {result.repeats} repeats"
    return [
        *((clean(each.name), clean(each.sentence)) for each in result.fits),
        *(("with parts" if each.cached else "without parts", clean(each.sentence)) for each in result.parts),
        ("computed", f"keys and values were counted in the model's own projections, {counted}"),
        ("measured on", f"{how}, {words.duration(result.seconds)}"),
        *(("note", clean(note)) for note in result.notes if note not in said),
    ]


def verdict(result: KvCacheWhyResult) -> str:
    """One sentence at the longest length."""
    last = result.rows[-1]
    return (
        f"At {words.count(last.tokens)} tokens a token takes {words.figure(last.with_ms, 3)} ms with a cache and "
        f"{words.figure(last.without_ms, 3)} ms without: {last.speedup:.1f} times faster, for {words.size(last.cache_bytes)} of memory."
    )

"""A comparison's result as columns of a table and four charts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.distill.compare.result import DistillCompareResult, DistillRow
from core.sanitize import clean
from tui.compression.comparison import Plots
from tui.experiment.finished import Column
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

COLUMNS: tuple[Column[DistillRow], ...] = (
    Column("learned from", 20, lambda row: row.title, "left"),
    Column("loss", 38, lambda row: row.objective, "left", needs=140),
    Column("ppl", 8, lambda row: words.figure(row.ppl), "left"),
    Column("KL", 18, lambda row: words.plus_minus(words.figure(row.kl_mean, 3), row.kl_se), "left", needs=90),
    Column("KL", 9, lambda row: words.figure(row.kl_mean, 3), "left", below=90),
    Column("top-1", 8, lambda row: words.percent(row.top1_agreement, 1), "left"),
    Column("gap closed", 15, lambda row: words.plus_minus(words.percent(row.gap_closed, 1), row.gap_closed_se, scale=100), "left"),
    Column("below text", 18, lambda row: words.plus_minus(words.figure(row.over_text, 3), row.over_text_se), "left"),
    Column("took", 12, lambda row: words.duration(row.seconds), "left", needs=100),
)


def plots(result: DistillCompareResult) -> Plots:
    """Divergence, gap, what the teacher adds to the text alone, agreement."""
    rows = result.rows
    return (
        _bars("KL divergence from the teacher", rows, [row.kl_mean for row in rows], "nats"),
        _bars("gap closed", rows, [_known(row.gap_closed, 100) for row in rows], "%"),
        _bars("ln perplexity below text alone", rows, [_known(row.over_text) for row in rows], "nats"),
        _bars("top-1 agreement", rows, [100 * row.top1_agreement for row in rows], "%"),
    )


def _bars(title: str, rows: Sequence[DistillRow], values: Sequence[float], unit: str) -> Plot:
    names = tuple(clean(row.title) for row in rows)
    return Plot(kind="bar", title=title, categories=names, series=(Series.of(values, label=title),), y_unit=unit, empty="there was no gap to close")


def _known(value: float | None, scale: float = 1.0) -> float:
    return math.nan if value is None else scale * value

"""A comparison's result as columns of a table and four charts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.prune.compare.result import PruneCompareResult, PruneRow
from core.sanitize import clean
from tui.compression.comparison import Plots
from tui.experiment.finished import Column
from tui.prune.results.history import short, times
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

_MEBI = 2**20

COLUMNS: tuple[Column[PruneRow], ...] = (
    Column("pruning", 20, lambda row: short(row.title), "left"),
    Column("removed", 8, lambda row: words.percent(row.sparsity, 1), "left"),
    Column("size", 9, lambda row: words.size(row.bytes), "left"),
    Column("bits/w", 7, lambda row: words.figure(row.bits_per_weight, 3), "left", needs=100),
    Column("ppl", 8, lambda row: words.figure(row.ppl), "left"),
    Column("ratio", 7, lambda row: words.figure(row.ppl_ratio, 4), "left", needs=100),
    Column("KL", 9, lambda row: words.figure(row.kl_mean, 3), "left"),
    Column("top-1", 8, lambda row: words.percent(row.top1_agreement, 1), "left"),
    Column("decode", 15, lambda row: words.plus_minus(times(row.decode_speedup), row.decode_speedup_se), "left", needs=100),
    Column("decode", 7, lambda row: times(row.decode_speedup), "left", below=100),
    Column("prefill", 15, lambda row: words.plus_minus(times(row.prefill_speedup), row.prefill_speedup_se), "left", needs=100),
    Column("prefill", 8, lambda row: times(row.prefill_speedup), "left", below=100),
    Column("took", 12, lambda row: words.duration(row.seconds), "left", needs=119),
)


def plots(result: PruneCompareResult) -> Plots:
    """Divergence, measured speed-ups, size."""
    rows = result.rows
    return (
        _bars("KL divergence", rows, [row.kl_mean for row in rows], "nats"),
        _bars("decode speed-up, measured", rows, [_known(row.decode_speedup) for row in rows], "x"),
        _bars("size", rows, [row.bytes / _MEBI for row in rows], "MiB"),
        _bars("prefill speed-up, measured", rows, [_known(row.prefill_speedup) for row in rows], "x"),
    )


def _bars(title: str, rows: Sequence[PruneRow], values: Sequence[float], unit: str) -> Plot:
    names = tuple(clean(short(row.title)) for row in rows)
    return Plot(kind="bar", title=title, categories=names, series=(Series.of(values, label=title),), y_unit=unit, empty="the speed was not measured")


def _known(value: float | None) -> float:
    return math.nan if value is None else value

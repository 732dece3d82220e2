"""A comparison's result as columns of a table and four charts. Pure."""

from __future__ import annotations

from core.quantize.compare.result import Charts, CompareRow
from core.sanitize import clean
from tui.experiment.finished import Column
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

_MEBI = 2**20


COLUMNS: tuple[Column[CompareRow], ...] = (
    Column("quantization", 23, lambda row: short(row.title), "left"),
    Column("size", 9, lambda row: words.size(row.bytes), "left"),
    Column("ratio", 7, lambda row: f"{row.ratio:.2f}x", "left"),
    Column("bits/w", 7, lambda row: words.figure(row.bits_per_weight, 3), "left", needs=100),
    Column("mean err", 10, lambda row: words.figure(row.mean_error, 3), "left", needs=100),
    Column("max err", 9, lambda row: words.figure(row.max_error, 3), "left", needs=112),
    Column("rel err", 8, lambda row: words.figure(row.relative_error, 3), "left"),
    Column("out err", 8, lambda row: words.figure(row.output_error, 3), "left", needs=100),
    Column("cosine", 9, lambda row: f"{row.output_cosine:.5f}", "left"),
    Column("ppl", 8, lambda row: words.figure(row.ppl), "left"),
    Column("KL", 9, lambda row: words.figure(row.kl_mean, 3), "left"),
    Column("top-1", 7, lambda row: words.percent(row.top1_agreement, 1), "left"),
)


def short(title: str) -> str:
    """A quantization in few columns: `FP8 E4M3 channel + a8`."""
    return clean(title.replace(" per ", " ").replace(" + inputs", " + a8"))


def plots(charts: Charts) -> tuple[Plot, Plot, Plot, Plot]:
    """Weight histogram, original against dequantized, error per channel against per tensor, memory."""
    return _histogram(charts), _scatter(charts), _granularity(charts), _memory(charts)


def _histogram(charts: Charts) -> Plot:
    data = charts.histogram
    return Plot(
        kind="hist",
        series=(Series.of(data.original, data.edges, label="original"), Series.of(data.dequantized, data.edges, label=data.dequantized_title)),
        title="weights",
        x_label=data.linear,
        y_label="count",
    )


def _scatter(charts: Charts) -> Plot:
    """The finest and the coarsest of the comparison: more would lie on top of each other."""
    data = charts.scatter
    ends = data.dequantized if len(data.dequantized) < 3 else (data.dequantized[0], data.dequantized[-1])
    low, high = min(data.original, default=0.0), max(data.original, default=0.0)
    exact = Series.of([low, high], [low, high], label="exact", stroke="line")
    return Plot(
        kind="scatter",
        series=(exact, *(Series.of(each.values, data.original, label=each.title) for each in ends)),
        title="dequantized",
        x_label="original weight",
        y_label="dequantized",
    )


def _granularity(charts: Charts) -> Plot:
    data = charts.granularity
    places = range(len(data.linears))
    return Plot(
        kind="line",
        series=(Series.of(data.tensor, places, label="per tensor"), Series.of(data.channel, places, label="per channel")),
        title=f"relative error at {data.bits} bits",
        x_label=f"linear, 0 to {max(len(data.linears) - 1, 0)}",
    )


def _memory(charts: Charts) -> Plot:
    bars = charts.memory
    parts = (("codes", [bar.codes for bar in bars]), ("scales", [bar.scales for bar in bars]), ("not quantized", [bar.kept for bar in bars]))
    return Plot(
        kind="bar",
        series=tuple(Series.of([size / _MEBI for size in sizes], label=label) for label, sizes in parts),
        title="memory",
        categories=tuple(short(bar.title) for bar in bars),
        y_unit="MiB",
        stacked=True,
    )

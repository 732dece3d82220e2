"""A comparison's result as table cells and four charts. Pure: reads what the worker wrote, draws nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.quantize.compare.result import Charts, CompareRow, QuantizeCompareResult
from core.runs.state.store import Run
from core.sanitize import clean
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

_MEBI = 2**20


@dataclass(frozen=True)
class Compared:
    """A finished comparison and the run it came from."""

    run: Run
    result: QuantizeCompareResult


def newest(runs: Iterable[Run], model: str, wanted: str | None = None) -> Compared | None:
    """The newest comparison of a model that can be read, or the one of a given run."""
    for run in runs:
        if run.asked_model == model and wanted in (None, run.id) and (result := run.result_as(QuantizeCompareResult)) is not None:
            return Compared(run, result)
    return None


COLUMNS: tuple[tuple[str, int, int], ...] = (
    ("quantization", 23, 0),
    ("size", 9, 0),
    ("ratio", 7, 0),
    ("bits/w", 7, 100),
    ("mean err", 10, 100),
    ("max err", 9, 112),
    ("rel err", 8, 0),
    ("out err", 8, 100),
    ("cosine", 9, 0),
    ("ppl", 8, 0),
    ("KL", 9, 0),
    ("top-1", 7, 0),
)
"""Title, width with the gap to the next column, and the width of window from which on the column is shown."""


def cells(row: CompareRow) -> tuple[str, ...]:
    """One cell a column."""
    return (
        short(row.title),
        words.size(row.bytes),
        f"{row.ratio:.2f}x",
        words.figure(row.bits_per_weight, 3),
        words.figure(row.mean_error, 3),
        words.figure(row.max_error, 3),
        words.figure(row.relative_error, 3),
        words.figure(row.output_error, 3),
        f"{row.output_cosine:.5f}",
        words.figure(row.ppl),
        words.figure(row.kl_mean, 3),
        words.percent(row.top1_agreement, 1),
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

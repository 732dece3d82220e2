"""Which pictures a result has, in the order in which they are gone through. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.prune.result import PruneResult
from tui.prune.results import importance, linears, redundancy
from tui.widgets.chart.plot import Plot
from tui.widgets.live import Line

Lines = Callable[[PruneResult, int], list[Line]]


@dataclass(frozen=True)
class Picture:
    """One picture: a chart, or lines for so many columns."""

    plot: Callable[[PruneResult], Plot] | None = None
    lines: Lines | None = None


def pictures(result: PruneResult) -> tuple[Picture, ...]:
    """Those that the result has data for, at least one."""
    return tuple(_pictures(result)) or (Picture(plot=linears.error_plot),)


def _pictures(result: PruneResult) -> Iterator[Picture]:
    if result.blocks:
        yield Picture(lines=redundancy.redundancy)
        if any(block.kl_at_removal is not None for block in result.blocks):
            yield Picture(plot=redundancy.removals)
    if result.importance:
        yield Picture(lines=importance.importance)
    if result.linears:
        yield Picture(plot=linears.error_plot)
        if linears.improved(result):
            yield Picture(lines=linears.before_and_after)
        yield Picture(lines=linears.sparsity_map)
        if linears.varies(result):
            yield Picture(plot=linears.sparsity_plot)

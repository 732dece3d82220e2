"""The errors of a model's linears as one chart over its blocks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tui.compression.linears import block_of
from tui.widgets.chart.plot import Plot, Series


def plot(errors: Sequence[tuple[str, float | None]], of: str = "") -> Plot:
    """Worst and mean relative error of the linears of each block; a name without a block number is placed by its position.

    Args:
        errors: (name, relative error).
        of: what was compared, weights or outputs, where that is known.
    """
    blocks: dict[int, list[float]] = {}
    for position, (name, error) in enumerate(errors):
        if error is not None:
            block = block_of(name)
            blocks.setdefault(position if block is None else block, []).append(error)
    places = sorted(blocks)
    return Plot(
        kind="line",
        title="relative error of each block's linears" + (f" ({of})" if of else ""),
        series=(
            Series.of([max(blocks[place]) for place in places], places, label="worst"),
            Series.of([sum(blocks[place]) / len(blocks[place]) for place in places], places, label="mean"),
        ),
        x_label="block",
        x_limits=(0, max(1, *places)) if places else None,
    )

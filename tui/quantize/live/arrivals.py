"""What a run says of its linears as it goes: table and chart of sensitivities while they are measured, of errors afterwards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.sanitize import clean
from tui.compression import errors
from tui.compression.linears import block_of, short
from tui.quantize.live.progress import RunProgress
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series

NOT_FINITE = "not finite"

Row = tuple[str, ...]


@dataclass(frozen=True)
class Arrivals:
    """The state of a run's table and chart."""

    kind: str
    """Changes when everything begins anew."""
    columns: tuple[tuple[str, int], ...] = ()
    """Title and width."""
    rows: Sequence[Row] = ()
    plot: Plot | None = None


def arrivals(progress: RunProgress) -> Arrivals:
    """What there is to show of a run."""
    if progress.errors:
        return _errors(progress)
    return _sensitivities(progress) if progress.sensitivity else Arrivals("nothing")


def _errors(progress: RunProgress) -> Arrivals:
    chosen = bool(progress.assigned)
    columns = (("linear", 36), ("relative error", 14), *((("bits", 6),) if chosen else ()))
    rows = []
    for name, error in progress.errors:
        row = (clean(name), NOT_FINITE if error is None else f"{error:.4f}")
        rows.append((*row, words.figure(progress.assigned.get(name), 1)) if chosen else row)
    return Arrivals(f"errors {progress.passes} {chosen}", columns, rows, errors.plot(progress.errors))


def _sensitivities(progress: RunProgress) -> Arrivals:
    widths = sorted({bits for of_linear in progress.sensitivity.values() for bits in of_linear})
    rows = [
        (short(name), *(words.figure(of_linear[bits], 2) if bits in of_linear else "" for bits in widths))
        for name, of_linear in progress.sensitivity.items()
    ]
    return Arrivals(
        f"sensitivity {widths}", (("KL of the model with", 23), *((f"{bits} bit", 9) for bits in widths)), rows, sensitivity_plot(progress, widths)
    )


def sensitivity_plot(progress: RunProgress, widths: Sequence[int]) -> Plot:
    """What the whole model loses when one linear of a block alone gets few bits: the worst linear of each block, a line a width."""
    worst: dict[int, dict[int, float]] = {bits: {} for bits in widths}
    for position, (name, of_linear) in enumerate(progress.sensitivity.items()):
        block = block_of(name)
        at = position if block is None else block
        for bits, loss in of_linear.items():
            if loss is not None:
                worst[bits][at] = max(loss, worst[bits].get(at, loss))
    return Plot(
        kind="line",
        title="KL divergence with one linear rounded, worst of each block",
        series=tuple(Series.of([found[block] for block in sorted(found)], sorted(found), label=f"{bits} bit") for bits, found in worst.items()),
        x_label="block",
        y_unit="nats",
        log_y=True,
    )

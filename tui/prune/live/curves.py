"""What a pruning measures as it goes as one chart: losses of its recovery, errors of its linears, or what each block is worth. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from core.sanitize import clean
from tui.compression import errors
from tui.prune.live.progress import BLOCK_SENSITIVITY, RunProgress
from tui.widgets.chart.plot import Plot, Series


def plot(progress: RunProgress) -> Plot | None:
    """The chart of the part that the run has come to; None before any figure."""
    if progress.recovery:
        return recovery(progress.recovery)
    if progress.errors:
        return errors.plot(list(progress.errors.items()))
    if progress.block_kl:
        return without_block(progress.block_kl)
    return sensitivity(measured) if (measured := progress.curves.get(BLOCK_SENSITIVITY)) else None


def recovery(losses: Mapping[int, float | None]) -> Plot:
    """Loss of the recovery at each step."""
    return Plot(kind="line", title="loss of the recovery", series=(_series(losses, "loss"),), x_label="step", y_unit="nats")


def without_block(losses: Mapping[int, float | None]) -> Plot:
    """KL divergence of the model without each block."""
    return Plot(
        kind="line",
        title="KL divergence without the block",
        series=(_series(losses, "KL"),),
        x_label="block",
        y_unit="nats",
        log_y=True,
        x_limits=(0, max(1, *losses)),
    )


def sensitivity(measured: Mapping[str, Mapping[int, float | None]]) -> Plot:
    """KL divergence that pruning one block adds, a line for each sparsity."""
    series = tuple(_series(row, clean(label, limit=20)) for label, row in measured.items())
    return Plot(kind="line", title="KL divergence that one block adds", series=series, x_label="block", y_unit="nats", log_y=True)


def _series(values: Mapping[int, float | None], label: str) -> Series:
    found = {step: values[step] for step in sorted(values)}
    return Series.through([(step, value) for step, value in found.items() if value is not None], label)

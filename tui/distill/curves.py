"""What a distillation measures as it goes, as charts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.distill.events import HeldOut
from core.distill.result import HeldOutFigures
from core.sanitize import clean
from tui.widgets.chart.plot import Plot, Series

Measured = HeldOut | HeldOutFigures
_LABEL = 24


def divergence(curves: Mapping[str, Sequence[Measured]]) -> Plot:
    """Held-out KL divergence at each step, a line for each training."""
    return _held_out(curves, "held-out KL divergence", "nats", lambda point: point.kl, log_y=True)


def agreement(curves: Mapping[str, Sequence[Measured]]) -> Plot:
    """Share of held-out tokens on which both find the same token most likely."""
    return _held_out(curves, "held-out top-1 agreement", "%", lambda point: 100 * point.top1)


def gap(curves: Mapping[str, Sequence[Measured]]) -> Plot:
    """Gap closed at each step."""
    return _held_out(curves, "gap closed, held-out text", "%", lambda point: None if point.gap_closed is None else 100 * point.gap_closed)


def losses(parts: Mapping[str, Mapping[int, float | None]]) -> Plot:
    """The loss of each step, and its parts where it has several."""
    shown = {name: steps for name, steps in parts.items() if not name or len(parts) > 2}
    series = tuple(
        Series.through([(step, value) for step, value in sorted(steps.items()) if value is not None], clean(name.replace("_", " ")) or "loss")
        for name, steps in shown.items()
    )
    return Plot(kind="line", title="training loss", series=series, x_label="step", y_unit="nats", empty="no step is finished yet")


def _held_out(
    curves: Mapping[str, Sequence[Measured]], title: str, unit: str, value: Callable[[Measured], float | None], *, log_y: bool = False
) -> Plot:
    series = []
    for name, points in curves.items():
        found = [(point.step, float(read)) for point in points if (read := value(point)) is not None]
        series.append(Series.through(sorted(found), clean(name, limit=_LABEL) or "student"))
    last = max((point.step for points in curves.values() for point in points), default=0)
    return Plot(
        kind="line",
        title=title,
        series=tuple(series),
        x_label="step",
        y_unit=unit,
        log_y=log_y,
        x_limits=(0, max(last, 1)),
        empty="the untrained student is being measured",
    )

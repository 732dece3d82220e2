"""What was done linear by linear: error before and after swaps, refit or compensation, sparsity as a map and by block. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from core.prune.result import LinearFigures, PruneResult
from tui.compression import errors
from tui.compression.linears import by_place, grid, short
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.chart.strip import meter
from tui.widgets.live import Line, Run, Tone, fit

_NAME, _FIGURES, _LONGEST = 24, 35, 40
_EVEN = 0.01
"""Shares that differ by less are the same sparsity."""
_TONES: tuple[tuple[float, Tone], ...] = ((0.2, "good"), (0.4, "quiet-bar"), (0.6, "bar"), (0.8, "warn"))


def improved(result: PruneResult) -> bool:
    """Whether there is an error before to compare with."""
    return any(linear.error_before is not None for linear in result.linears)


def varies(result: PruneResult) -> bool:
    """Whether linears got different sparsities."""
    shares = [linear.sparsity for linear in result.linears]
    return bool(shares) and max(shares) - min(shares) > _EVEN


def error_plot(result: PruneResult) -> Plot:
    """Worst and mean error of each block's linears."""
    return errors.plot([(linear.name, linear.error) for linear in result.linears], of=result.error_of)


def before_and_after(result: PruneResult, width: int) -> list[Line]:
    """A line for each linear: its error as a bar, what it was before behind it, both in figures, and how often weights were exchanged."""
    swaps = any(linear.swaps is not None for linear in result.linears)
    top = max((max(linear.error, linear.error_before or 0.0) for linear in result.linears), default=0.0)
    bar = min(max(width - _NAME - _FIGURES, 6), _LONGEST)
    total = _mean_change(result.linears)
    head = f"error of the {result.error_of}, before and after{'' if total is None else f': {_signed(total)} on average'}"
    lines: list[Line] = [
        ((head, "strong"),),
        ((f"{'linear':<{_NAME}}{'':<{bar}}  {'before':>8} {'after':>8} {'':>7}{'swaps' if swaps else '':>8}", "muted"),),
    ]
    for linear in result.linears:
        change = _change(linear)
        exchanged = f"{words.count(linear.swaps):>8}" if linear.swaps is not None else ""
        errors_ = f"{words.figure(linear.error_before, 3):>8} {words.figure(linear.error, 3):>8}"
        figures = f"  {errors_} {'' if change is None else _signed(change):>7}{exchanged}"
        lines.append(((fit(short(linear.name), _NAME - 1) + " ", ""), *_bar(linear, top, bar), (figures, "")))
    return lines


def sparsity_map(result: PruneResult, width: int) -> list[Line]:
    """Sparsity of every linear in tenths by kind and block."""
    cells = by_place((linear.name, linear.sparsity) for linear in result.linears)
    if not cells:
        return [(("the sparsity of single linears is not known for this run", "muted"),)]
    shares = [linear.sparsity for linear in result.linears]
    low, high = words.percent(min(shares), 1), words.percent(max(shares), 1)
    legend = "5: 50 to 59 % of the weights are zero or gone" if low != high else f"{low} each"
    kinds = list(dict.fromkeys(kind for kind, _ in cells))
    blocks = sorted({block for _, block in cells})
    head: Line = (("sparsity of each linear", "strong"), (f"  {legend}", "muted"), (f"  {low} to {high}" if low != high else "", "muted"))
    return [head, *grid(kinds, blocks, lambda place: _tenth(cells.get(place)), width)]


def sparsity_plot(result: PruneResult) -> Plot:
    """Sparsity of each block, weighted by the sizes of its linears."""
    removed: dict[int, list[int]] = {}
    for linear in result.linears:
        counts = removed.setdefault(linear.block, [0, 0])
        counts[0] += linear.removed
        counts[1] += linear.rows * linear.columns
    shares = [(block, 100 * gone / weights) for block, (gone, weights) in sorted(removed.items()) if weights]
    return Plot(kind="line", title="sparsity of each block", series=(Series.through(shares, "sparsity"),), x_label="block", y_unit="%")


def _bar(linear: LinearFigures, top: float, width: int) -> list[Run]:
    """The error filled, what it was before dotted behind."""
    share = linear.error / top if top > 0 else 0.0
    bar = meter(100 * share, width).rstrip()
    before = round((linear.error_before or 0.0) / top * width) if top > 0 else 0
    return [(bar, "bar"), ("░" * max(before - len(bar), 0), "muted"), (" " * (width - max(before, len(bar))), "")]


def _change(linear: LinearFigures) -> float | None:
    return linear.error / linear.error_before - 1 if linear.error_before else None


def _mean_change(linears: Sequence[LinearFigures]) -> float | None:
    changes = [change for linear in linears if (change := _change(linear)) is not None]
    return sum(changes) / len(changes) if changes else None


def _signed(change: float) -> str:
    return f"{100 * change:+.0f} %"


def _tenth(share: float | None) -> Run:
    if share is None:
        return "·", "muted"
    tone: Tone = next((tone for bound, tone in _TONES if share < bound), "bad")
    return (str(int(share * 10 + 1e-6)) if share < 1 else "+"), tone

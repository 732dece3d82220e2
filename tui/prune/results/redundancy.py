"""What the model loses without each block, measured, next to the cheap measures that are meant to predict it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.prune.result import BlockScore, PruneResult
from core.sanitize import clean
from tui.widgets import words
from tui.widgets.chart.plot import Plot, Series
from tui.widgets.chart.strip import meter
from tui.widgets.live import Line, Run, wrapped


@dataclass(frozen=True)
class Measure:
    """One measure of redundancy."""

    title: str
    score: Callable[[BlockScore], float | None]


MEASURES = (
    Measure("measured KL", lambda block: block.kl),
    Measure("influence", lambda block: block.influence),
    Measure("angular", lambda block: block.angular),
    Measure("ppl ratio", lambda block: block.ppl_ratio),
)
"""In the order in which they find room."""
_BLOCK, _VALUE, _RANK, _ENDING = 6, 9, 4, 20
_SHORTEST, _LONGEST = 4, 18
_NOTHING = "nothing was measured of single blocks"


def redundancy(result: PruneResult, width: int) -> list[Line]:
    """A line for each block: a bar, the value and the rank (1: least is lost) by each measure that there is room for, and whether it was removed."""
    known = [measure for measure in MEASURES if any(measure.score(block) is not None for block in result.blocks)]
    if not known:
        return [((_NOTHING, "muted"),)]
    room = width - _BLOCK - _ENDING
    shown = known[: max(room // (_SHORTEST + _VALUE + _RANK + 2), 1)]
    bar = min(max(room // len(shown) - _VALUE - _RANK - 2, _SHORTEST), _LONGEST)
    ranks = [_ranks([measure.score(block) for block in result.blocks]) for measure in shown]
    tops = [max((value for block in result.blocks if (value := measure.score(block)) is not None), default=0.0) for measure in shown]
    head: list[Run] = [("block ", "muted")]
    head += [(f"{measure.title:<{bar + _VALUE + _RANK + 2}}", "muted") for measure in shown]
    lines: list[Line] = [*wrapped(_agreement(result), width), tuple(head)]
    for at, block in enumerate(result.blocks):
        row: list[Run] = [(f"{block.block:>{_BLOCK - 1}} ", "strong" if block.removed else "")]
        for measure, rank, top in zip(shown, ranks, tops, strict=True):
            row += _cell(measure.score(block), rank[at], top, bar, removed=block.removed)
        lines.append((*row, (_removed(block), "bad")))
    return lines


def removals(result: PruneResult) -> Plot:
    """KL divergence as one block after the other goes."""
    steps = sorted(
        (block.step, block.kl_at_removal, block.block) for block in result.blocks if block.step is not None and block.kl_at_removal is not None
    )
    order = ", ".join(str(block) for _, _, block in steps)
    return Plot(
        kind="line",
        title=f"KL divergence as blocks {order} go" if steps else "KL divergence as blocks go",
        series=(Series.through([(step, kl) for step, kl, _ in steps], "KL"),),
        x_label="blocks removed",
        y_unit="nats",
        empty="the divergence was not measured between removals",
    )


def _agreement(result: PruneResult) -> list[Run]:
    """How far the cheap measures rank blocks as the measured one does."""
    if not result.agreement:
        return [("what the model loses without each block", "strong")]
    head: Run = ("rank correlation with the measured KL:", "strong")
    return [
        head,
        *((f"{clean(each.measure, limit=40)} {each.spearman:.2f}", "good" if each.spearman >= 0.8 else "warn") for each in result.agreement),
    ]


def _cell(value: float | None, rank: int | None, top: float, bar: int, *, removed: bool) -> list[Run]:
    if value is None or rank is None:
        return [(" " * bar + f"{words.NOTHING:>{_VALUE}}" + " " * (_RANK + 2), "muted")]
    share = 100 * value / top if top > 0 else 0.0
    return [(meter(share, bar), "bad" if removed else "bar"), (f"{words.figure(value, 3):>{_VALUE}}", ""), (f"{rank:>{_RANK}}  ", "muted")]


def _ranks(values: list[float | None]) -> list[int | None]:
    order = sorted(value for value in values if value is not None)
    return [None if value is None else 1 + order.index(value) for value in values]


def _removed(block: BlockScore) -> str:
    if not block.removed:
        return ""
    return "× removed" if block.step is None else f"× removed as no. {block.step}"

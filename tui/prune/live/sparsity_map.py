"""The linears of a model as they are pruned: a row for each kind of linear, a column for each block, the error in each cell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.sanitize import clean
from tui.compression.linears import NAMES, Place, by_place, grid
from tui.prune.live.progress import BLOCK_SENSITIVITY, RunProgress
from tui.widgets import words
from tui.widgets.live import Line, Run, Tone, wrapped

_HEIGHTS = "▁▂▃▄▅▆▇█"
_TONES: tuple[Tone, ...] = ("good", "good", "bar", "bar", "warn", "warn", "bad", "bad")
"""One a height."""
_WIDE = 4
"""Columns of a cell that has room for its error in percent."""
WITHOUT = "without it"
"""Row of a method that measures what the model loses without a block."""


@dataclass(frozen=True)
class LinearState:
    """What is known of the linears, or blocks, of a run."""

    values: tuple[tuple[Place, float | None], ...]
    """Relative error of each finished linear, or KL divergence without or with each block pruned; None where it is not finite."""
    kinds: tuple[str, ...]
    blocks: tuple[int, ...]
    measure: str = "relative error"
    in_percent: bool = True
    sparsity: tuple[float, float] | None = None
    """Least and greatest of the finished linears."""

    @property
    def total(self) -> int:
        return len(self.kinds) * len(self.blocks)


NO_LINEARS = LinearState((), (), ())


def state_of(progress: RunProgress) -> LinearState:
    """What the map of a run shows."""
    if progress.errors:
        values: dict[Place, float | None] = dict(by_place(progress.errors.items()))
        values |= dict.fromkeys(by_place((name, 0.0) for name, error in progress.errors.items() if error is None))
        kinds = dict.fromkeys((*progress.kinds, *(kind for kind, _ in values)))
        blocks = _columns(progress, (block for _, block in values))
        return LinearState(tuple(values.items()), tuple(kinds), blocks, sparsity=_range(progress.sparsity.values()))
    if progress.block_kl:
        without = tuple(((WITHOUT, block), value) for block, value in progress.block_kl.items())
        return LinearState(
            without, (WITHOUT,), _columns(progress, progress.block_kl), "KL divergence of the model without each block", in_percent=False
        )
    if measured := progress.curves.get(BLOCK_SENSITIVITY):
        cells = tuple(((clean(label), block), value) for label, row in measured.items() for block, value in row.items())
        blocks = _columns(progress, (block for row in measured.values() for block in row))
        return LinearState(cells, tuple(map(clean, measured)), blocks, "KL divergence that pruning one block adds", in_percent=False)
    return NO_LINEARS


def lines(state: LinearState, width: int) -> list[Line]:
    """The map in lines of at most `width` columns.

    Where a block has room for it a cell is its error in percent, else a bar whose height is its share of the greatest; colour repeats that. What is
    not finished is a dot.
    """
    if not state.values:
        return []
    values = dict(state.values)
    finite = [value for value in values.values() if value is not None]
    top = max(finite, default=0.0)
    wide = state.in_percent and NAMES + _WIDE * len(state.blocks) <= width

    def cell(place: Place) -> Run:
        text, tone = _cell(values[place], top, wide=wide) if place in values else ("·", "muted")
        return (text.rjust(_WIDE - 1) + " " if wide else text), tone

    return [
        *wrapped(_legend(state, min(finite, default=0.0), top, wide=wide), width),
        *grid(state.kinds, state.blocks, cell, width, cell_width=_WIDE if wide else 1),
    ]


def _legend(state: LinearState, low: float, top: float, *, wide: bool) -> list[Run]:
    scale = "%" if wide else f"{_HEIGHTS[_level(low, top)]} {words.figure(low, 2)} to {_HEIGHTS[-1]} {words.figure(top, 2)}"
    parts: list[Run] = [(f"{state.measure}, {scale}", "strong"), (f"{len(state.values)} of {state.total}", "muted")]
    if state.sparsity is not None:
        low_share, high_share = (words.percent(share, 1) for share in state.sparsity)
        parts.append((f"sparsity {low_share}" if low_share == high_share else f"sparsity {low_share} to {high_share}", "muted"))
    return parts


def _cell(value: float | None, top: float, *, wide: bool) -> Run:
    if value is None:
        return "!", "bad"
    level = _level(value, top)
    return (_percent(value) if wide else _HEIGHTS[level]), _TONES[level]


def _percent(value: float) -> str:
    """In at most three columns: `<1`, `7`, `42`, `>9x` from ten times on."""
    share = 100 * value
    return "0" if not share else "<1" if share < 1 else f"{share:.0f}" if share < 999.5 else ">9x"


def _level(value: float, top: float) -> int:
    return max(min(int(value / top * len(_HEIGHTS)), len(_HEIGHTS) - 1), 0) if top > 0 else 0


def _columns(progress: RunProgress, seen: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({*range(progress.blocks), *seen}))


def _range(shares: Iterable[float | None]) -> tuple[float, float] | None:
    found = [share for share in shares if share is not None]
    return (min(found), max(found)) if found else None

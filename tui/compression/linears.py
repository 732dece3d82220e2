"""The linears of a model by block: short names, and a map with a row for each kind of linear and a column for each block. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from core.sanitize import clean
from tui.widgets.live import Line, Run

_BLOCK = re.compile(r"(?:^|\.)(\d+)\.")
NAMES = 16
"""Columns for the kinds."""

Place = tuple[str, int]
"""Kind of a linear, fit to be shown, and number of its block."""
Cell = Callable[[Place], Run]
"""What is drawn at a place."""


def block_of(name: str) -> int | None:
    """Number of the block that a linear of the checkpoint is in."""
    match = _BLOCK.search(name)
    return int(match.group(1)) if match else None


def place_of(name: str) -> Place | None:
    """Where a linear is in the map: `model.layers.3.mlp.down_proj` is ("down_proj", 3); None outside of blocks."""
    match = _BLOCK.search(name)
    return None if match is None else (clean(name[match.end() :].rpartition(".")[2]), int(match.group(1)))


def short(name: str) -> str:
    """`12 self_attn.q_proj`: number of the block and the name inside it."""
    match = _BLOCK.search(name)
    return clean(f"{match.group(1)} {name[match.end() :]}" if match else name)


def by_place(values: Iterable[tuple[str, float | None]]) -> dict[Place, float]:
    """Values by place in order of appearance; several experts of a kind share a place with their mean."""
    found: dict[Place, list[float]] = {}
    for name, value in values:
        if (place := place_of(name)) is not None and value is not None:
            found.setdefault(place, []).append(value)
    return {place: sum(several) / len(several) for place, several in found.items()}


def grid(kinds: Sequence[str], blocks: Sequence[int], cell: Cell, width: int, *, cell_width: int = 1) -> list[Line]:
    """The map in lines of at most `width` columns; blocks that do not fit on a line continue below.

    Args:
        kinds: rows.
        blocks: columns, in rising order.
        cell: what is drawn at a place, `cell_width` columns wide.
        width: columns.
        cell_width: columns of a cell.
    """
    room = max((width - NAMES) // cell_width, max(10 // cell_width, 1))
    lines: list[Line] = []
    for first in range(0, len(blocks), room):
        part = blocks[first : first + room]
        lines.append(((f"{'block':<{NAMES}}{_ruler(part, cell_width)}", "muted"),))
        lines += [((f"{kind[: NAMES - 1]:<{NAMES}}", ""), *(cell((kind, block)) for block in part)) for kind in kinds]
    return lines


def _ruler(blocks: Sequence[int], cell_width: int) -> str:
    """The number of each block, to the right as the cells are, where they have room for it; else of every tenth block, and the first always."""
    if cell_width > len(str(max(blocks, default=0))):
        return "".join(f"{block:>{cell_width - 1}} " for block in blocks).rstrip()
    line = ""
    for column, block in enumerate(blocks):
        at = column * cell_width
        if (column == 0 or block % 10 == 0) and len(line) <= at:
            line = line.ljust(at) + str(block)
    return line

"""Which linear got how many bits: a map with a row for each kind of linear and a column for each block."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.sanitize import clean

Bits = Sequence[tuple[str, float | None]]
"""(name of a linear, bits of one of its weights)."""

_BLOCK = re.compile(r"\.(\d+)\.")
_INKS = {2: "$error", 3: "$warning", 4: "$success", 5: "$secondary", 6: "$primary"}
_NAMES = 16
"""Columns for the kinds."""


class AssignmentMap(VerticalScroll, can_focus=False):
    """Each cell is a digit: bits of a weight, scales left out; colour repeats it."""

    DEFAULT_CSS = """
    AssignmentMap { height: 1fr; scrollbar-size-vertical: 1; }
    AssignmentMap Static { height: auto; }
    """

    def __init__(self, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._text = Static(markup=False)
        self._bits: Bits = ()

    def compose(self) -> ComposeResult:
        yield self._text

    def on_resize(self) -> None:
        self._draw()

    def show(self, bits: Bits) -> None:
        if bits != self._bits:
            self._bits = bits
            self._draw()

    def _draw(self) -> None:
        if self.size.width:
            self._text.update(Content("\n").join(assignment(self._bits, self.size.width - 1)))


def assignment(bits: Bits, width: int) -> list[Content]:
    """The map in lines of at most `width` columns; blocks that do not fit on a line continue below."""
    kinds, blocks, cells = _arranged(bits)
    if not cells:
        return [Content.styled("bits per linear are not known for this run", "dim")]
    room = max(width - _NAMES, 10)
    lines = [_legend(cells.values(), len(bits))]
    for first in range(0, len(blocks), room):
        part = blocks[first : first + room]
        lines.append(Content.styled(f"{'block':<{_NAMES}}{_ruler(part)}", "dim"))
        for kind in kinds:
            row = [_cell(cells.get((kind, block))) for block in part]
            lines.append(Content.assemble(f"{kind[: _NAMES - 1]:<{_NAMES}}", *row))
    return lines


def _arranged(bits: Bits) -> tuple[list[str], list[int], dict[tuple[str, int], int]]:
    """Kinds in order of appearance, blocks in rising order, bits by both; several experts of a kind share a cell with their mean."""
    sums: dict[tuple[str, int], list[float]] = {}
    for name, value in bits:
        match = _BLOCK.search(name)
        if match is not None and value is not None:
            kind = name[match.end() :].rpartition(".")[2]
            sums.setdefault((clean(kind), int(match.group(1))), []).append(value)
    cells = {place: round(sum(values) / len(values)) for place, values in sums.items()}
    return list(dict.fromkeys(kind for kind, _ in cells)), sorted({block for _, block in cells}), cells


def _legend(widths: Iterable[int], linears: int) -> Content:
    counts = Counter(widths)
    parts = [part for width in sorted(counts) for part in ("  ", _cell(width), f" {counts[width]}")]
    return Content.assemble(("bits of each linear", "bold"), *parts, (f"  of {linears} linears", "dim"))


def _cell(width: int | None) -> tuple[str, str]:
    if width is None:
        return "·", "dim"
    return (f"{width:x}" if 0 <= width < 16 else "+"), f"bold {_INKS.get(width, '$foreground')}"


def _ruler(blocks: Sequence[int]) -> str:
    """The number of every tenth block above its column; the first always."""
    line = ""
    for column, block in enumerate(blocks):
        if (column == 0 or block % 10 == 0) and len(line) <= column:
            line = line.ljust(column) + str(block)
    return line

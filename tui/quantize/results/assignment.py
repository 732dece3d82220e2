"""Which linear got how many bits: a map with a row for each kind of linear and a column for each block. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tui.compression.linears import by_place, grid
from tui.widgets.live import Line, Run, Tone

Bits = Sequence[tuple[str, float | None]]
"""(name of a linear, bits of one of its weights)."""

_TONES: dict[int, Tone] = {2: "bad", 3: "warn", 4: "good", 5: "quiet-bar", 6: "bar"}


def assignment(bits: Bits, width: int) -> list[Line]:
    """The map in lines of at most `width` columns. Each cell is a digit, bits of a weight without scales; colour repeats it."""
    cells = {place: round(mean) for place, mean in by_place(bits).items()}
    if not cells:
        return [(("bits per linear are not known for this run", "muted"),)]
    kinds = list(dict.fromkeys(kind for kind, _ in cells))
    blocks = sorted({block for _, block in cells})
    return [_legend(cells.values(), len(bits)), *grid(kinds, blocks, lambda place: _cell(cells.get(place)), width)]


def _legend(widths: Iterable[int], linears: int) -> Line:
    counts = Counter(widths)
    parts: list[Run] = []
    for width in sorted(counts):
        parts += [("  ", ""), _cell(width), (f" {counts[width]}", "")]
    return (("bits of each linear", "strong"), *parts, (f"  of {linears} linears", "muted"))


def _cell(width: int | None) -> Run:
    if width is None:
        return "·", "muted"
    return (f"{width:x}" if 0 <= width < 16 else "+"), _TONES.get(width, "strong")

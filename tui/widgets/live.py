"""Lines that change while one looks: only the cells that differ are sent to the terminal, and nothing is laid out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.component import ink
from tui.widgets.lazy_components import LazyComponents

Tone = Literal["", "muted", "strong", "good", "warn", "bad", "accent", "bar", "quiet-bar"]
Run = tuple[str, Tone]
Line = tuple[Run, ...]


class LiveLines(LazyComponents, Widget):
    """Shows lines of (text, tone). `show` may be called at any rate: equal cells cost nothing."""

    TONES: ClassVar[tuple[Tone, ...]] = ("muted", "strong", "good", "warn", "bad", "accent", "bar", "quiet-bar")
    COMPONENT_CLASSES: ClassVar[set[str]] = {*(f"live--{tone}" for tone in TONES), "live--cursor", "live--cursor-blurred"}
    DEFAULT_CSS = """
    LiveLines { height: auto; }
    LiveLines > .live--muted { color: $text-muted; }
    LiveLines > .live--strong { text-style: bold; }
    LiveLines > .live--good { color: $success; }
    LiveLines > .live--warn { color: $warning; text-style: bold; }
    LiveLines > .live--bad { color: $error; text-style: bold; }
    LiveLines > .live--accent { color: $accent; }
    LiveLines > .live--bar { color: $primary; }
    LiveLines > .live--quiet-bar { color: $secondary; }
    LiveLines > .live--cursor { background: $primary 30%; text-style: bold; }
    LiveLines > .live--cursor-blurred { background: $boost; }
    """

    def __init__(self, lines: Sequence[Line] = (), *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = tuple(lines)
        self._strips: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}

    @property
    def plain(self) -> str:
        """The text shown, for tests and for copying."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self._lines)

    def show(self, lines: Sequence[Line]) -> None:
        """Show other lines; cells that stay the same are not touched."""
        before, self._lines = self._lines, tuple(lines)
        width = self.size.width
        changed = []
        for y in range(max(len(before), len(self._lines))):
            old = before[y] if y < len(before) else ()
            new = self._lines[y] if y < len(self._lines) else ()
            if old != new:
                self._strips.pop(y, None)
                start, end = changed_span(old, new, width)
                changed.append(Region(start, y, end - start, 1))
        if changed and width:
            self.refresh(*changed)

    def show_all(self, lines: Sequence[Line]) -> None:
        """Show other lines and be as high as they are; the screen is laid out anew only where their number changes."""
        if self.styles.height is None or self.styles.height.value != len(lines):
            self.styles.height = len(lines)
        self.show(lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        strip = self._strips.get(y)
        if strip is None:
            strip = self._strips[y] = self._strip(y)
        return strip

    def tone_style(self, tone: Tone) -> Style:
        """Colour and weight of a tone."""
        style = self._styles.get(tone)
        if style is None:
            style = self._styles[tone] = ink(self, f"live--{tone}")
        return style

    def line_background(self, y: int) -> Style:  # noqa: ARG002
        return Style.null()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = {}
        self._styles = {}

    def on_resize(self, _: events.Resize) -> None:
        self._strips = {}

    def _strip(self, y: int) -> Strip:
        base = self.rich_style + self.line_background(y)
        line = self._lines[y] if 0 <= y < len(self._lines) else ()
        segments = [Segment(text, base + self.tone_style(tone) if tone else base) for text, tone in joined(line)]
        return Strip(segments).adjust_cell_length(self.size.width, base)


def joined(line: Line) -> list[Run]:
    """Neighbouring runs of one tone as one, so that the terminal gets each colour once; blanks take the tone before them."""
    runs: list[Run] = []
    for text, tone in line:
        if runs and (tone == runs[-1][1] or not text.strip()):
            runs[-1] = (runs[-1][0] + text, runs[-1][1])
        elif text:
            runs.append((text, tone))
    return runs


def changed_span(old: Line, new: Line, width: int) -> tuple[int, int]:
    """First and one past the last cell that differ between two lines, by whole runs."""
    start = 0
    same = 0
    for left, right in zip(old, new, strict=False):
        if left != right:
            break
        start += cell_len(left[0])
        same += 1
    end = max(width, start + 1)
    if line_width(old) == line_width(new):
        end = line_width(new)
        for left, right in zip(reversed(old[same:]), reversed(new[same:]), strict=False):
            if left != right:
                break
            end -= cell_len(left[0])
    return start, max(end, start + 1)


def line_width(line: Line) -> int:
    """Cells of a line."""
    return sum(cell_len(text) for text, _ in line)


def fit(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Text in exactly `width` cells: padded, or cut with an ellipsis."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - length) + text if align == "right" else text + " " * (width - length)


def clip(line: Line, width: int) -> Line:
    """A line of at most `width` cells, with an ellipsis where it was cut."""
    if line_width(line) <= width:
        return line
    if width <= 0:
        return ()
    kept: list[Run] = []
    left = width
    for text, tone in line:
        length = cell_len(text)
        if length >= left:
            kept.append((fit(text, left) if length > left else set_cell_size(text, left - 1) + "…", tone))
            break
        kept.append((text, tone))
        left -= length
    return tuple(kept)


def wrapped(parts: Sequence[Run], width: int) -> list[Line]:
    """Parts two blanks apart, in as many lines of at most `width` cells as that takes."""
    lines: list[list[Run]] = [[]]
    for part in parts:
        if lines[-1] and line_width((*lines[-1], part)) + 2 > width:
            lines.append([])
        lines[-1] += [("  ", ""), part] if lines[-1] else [part]
    return [tuple(line) for line in lines]

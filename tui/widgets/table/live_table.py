"""A small table with a cursor whose rows may change every second without being rebuilt."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message

from tui.widgets.component import paper
from tui.widgets.live import Line, LiveLines, clip

Key = Hashable


class LiveTable(LiveLines, can_focus=True):
    """A head and rows; the cursor stays on its row by key when rows come, go or change places."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="table.up", tooltip="Row above"),
        Binding("down", "move(1)", "Down", show=False, id="table.down", tooltip="Row below"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page-up", tooltip="A page up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page-down", tooltip="A page down"),
        Binding("home", "move(-1000000)", "First", show=False, id="table.first", tooltip="First row"),
        Binding("end", "move(1000000)", "Last", show=False, id="table.last", tooltip="Last row"),
        Binding("enter", "choose", "Open", show=False, id="table.choose", tooltip="Open the row"),
    ]
    DEFAULT_CSS = """
    LiveTable { height: 1fr; }
    """

    @dataclass
    class Moved(Message):
        """The cursor is on another row."""

        table: LiveTable
        key: Key

        @property
        def control(self) -> LiveTable:
            return self.table

    @dataclass
    class Chosen(Message):
        """Enter, or a click on the row under the cursor."""

        table: LiveTable
        key: Key

        @property
        def control(self) -> LiveTable:
            return self.table

    def __init__(self, *, empty: str = "", id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.empty = empty
        """Shown where there is no row."""
        self._head: Line = ()
        self._rows: tuple[tuple[Key, Line], ...] = ()
        self._cursor = 0
        self._top = 0

    @property
    def cursor(self) -> Key | None:
        """Key of the row under the cursor; None without rows."""
        return self._rows[self._cursor][0] if self._rows else None

    @property
    def rows_shown(self) -> int:
        """Rows that fit below the head."""
        return max(self.size.height - 1, 0)

    def show_rows(self, head: Line, rows: Sequence[tuple[Key, Line]]) -> None:
        """Show other rows; the cursor follows its key, or stays at its place when the key is gone."""
        key = self.cursor
        before = self._cursor
        self._head, self._rows = head, tuple(rows)
        if key is not None and (not self._rows or self._cursor >= len(self._rows) or self._rows[self._cursor][0] != key):
            self._cursor = next((at for at, (each, _) in enumerate(self._rows) if each == key), min(self._cursor, max(len(self._rows) - 1, 0)))
        self._paint(before)
        if self.cursor != key:
            self.post_message(self.Moved(self, self.cursor))

    def move_to(self, key: Key) -> None:
        for at, (each, _) in enumerate(self._rows):
            if each == key:
                self._go(at)

    def action_move(self, by: int) -> None:
        self._go(self._cursor + by)

    def action_page(self, direction: int) -> None:
        self._go(self._cursor + direction * max(self.rows_shown, 1))

    def action_choose(self) -> None:
        if self._rows:
            self.post_message(self.Chosen(self, self.cursor))

    def line_background(self, y: int) -> Style:
        if y == 0 or not self._rows or self._top + y - 1 != self._cursor:
            return Style.null()
        return paper(self, "live--cursor" if self.has_focus else "live--cursor-blurred")

    def on_click(self, event: events.Click) -> None:
        row = self._top + event.y - 1
        if event.y < 1 or row >= len(self._rows):
            return
        if row == self._cursor:
            self.action_choose()
        self._go(row)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.action_move(3)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.action_move(-3)
        event.stop()

    def on_focus(self) -> None:
        self._repaint_cursor()

    def on_blur(self) -> None:
        self._repaint_cursor()

    def on_resize(self, event: events.Resize) -> None:
        super().on_resize(event)
        self._paint(self._cursor)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return 1 + max(len(self._rows), 1)

    def _go(self, row: int) -> None:
        before = self._cursor
        self._cursor = min(max(row, 0), max(len(self._rows) - 1, 0))
        if self._cursor != before:
            self._paint(before)
            self.post_message(self.Moved(self, self.cursor))

    def _paint(self, cursor_before: int) -> None:
        top_before = self._top
        room = self.rows_shown
        if room:
            self._top = max(min(self._top, self._cursor, len(self._rows) - room), self._cursor - room + 1, 0)
        visible = self._rows[self._top : self._top + room] if room else self._rows
        lines = [self._head, *(self._marked(self._top + at, line) for at, (_, line) in enumerate(visible))]
        if not self._rows:
            lines.append(((f"  {self.empty}", "muted"),))
        self.show(lines)
        if top_before != self._top or cursor_before != self._cursor:
            self._repaint_rows({cursor_before - top_before, cursor_before - self._top, self._cursor - self._top})

    def _marked(self, at: int, line: Line) -> Line:
        return clip(((("›" if at == self._cursor else " "), "accent"), *line), self.size.width or 10_000)

    def _repaint_cursor(self) -> None:
        self._repaint_rows({self._cursor - self._top})

    def _repaint_rows(self, rows: set[int]) -> None:
        visible = [row + 1 for row in rows if 0 <= row < self.rows_shown]
        for y in visible:
            self._strips.pop(y, None)
        if visible:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in visible))

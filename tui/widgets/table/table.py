"""Textual's table, with a scrollbar that is right from its first moment."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from tui.widgets.lazy_components import LazyComponents

Cell = TypeVar("Cell")


class Table(LazyComponents, DataTable[Cell]):
    """A table of rows, which home and end go through from first to last.

    It may be scrolled before it is shown: a scrollbar that textual shows later does not know what it missed.
    """

    DEFAULT_CSS = """
    Table { background: transparent; scrollbar-size-vertical: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "First", show=False, id="table.first", tooltip="First row"),
        Binding("end", "scroll_bottom", "Last", show=False, id="table.last", tooltip="Last row"),
    ]

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        if shown:
            self.vertical_scrollbar.position = self.scroll_y

    def watch_show_horizontal_scrollbar(self, shown: bool) -> None:
        """Keep the cursor in sight: a bar below the rows covers the last of them."""
        if shown:
            self.call_after_refresh(self._keep_cursor_in_sight)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        self.call_after_refresh(self._keep_cursor_in_sight)

    def _keep_cursor_in_sight(self) -> None:
        if self.row_count and self.show_cursor:
            self._scroll_cursor_into_view(animate=False)

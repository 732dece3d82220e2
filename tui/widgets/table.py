"""Textual's table, with a scrollbar that is right from its first moment."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.widgets import DataTable

Cell = TypeVar("Cell")


class Table(DataTable[Cell]):
    """A table of rows, which home and end go through from first to last.

    It may be scrolled before it is shown: textual tells a scrollbar that appears later nothing of what it missed.
    """

    DEFAULT_CSS = """
    Table { background: transparent; scrollbar-size-vertical: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "First", show=False, id="table.first", tooltip="First row"),
        Binding("end", "scroll_bottom", "Last", show=False, id="table.last", tooltip="Last row"),
    ]

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        """Put the thumb where the table stands."""
        if shown:
            self.vertical_scrollbar.position = self.scroll_y

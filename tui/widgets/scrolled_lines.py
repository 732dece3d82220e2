"""Lines made from data for the width there is; those that do not fit are scrolled to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget

from tui.widgets.live import Line, LiveLines

Data = TypeVar("Data")


class ScrolledLines(VerticalScroll, Generic[Data], can_focus=False):
    """Draws its data anew when they or the width change; equal cells are not sent again. It takes the focus only while there is more than fits.

    Args:
        draw: the lines of data in at most so many columns.
        data: to begin with.
    """

    DEFAULT_CSS = """
    ScrolledLines { height: 1fr; scrollbar-size: 0 1; scrollbar-gutter: stable; }
    """

    def __init__(self, draw: Callable[[Data, int], Sequence[Line]], data: Data, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._draw, self._data = draw, data
        self._lines = LiveLines()

    @property
    def plain(self) -> str:
        """The text, for tests."""
        return self._lines.plain

    def compose(self) -> ComposeResult:
        yield self._lines

    def show(self, data: Data) -> None:
        """Show other data."""
        if data != self._data:
            self._data = data
            self._fill()

    def on_resize(self) -> None:
        self._fill()

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        self.can_focus = shown

    def on_hide(self) -> None:
        """Leave the focus to what is around, so that its keys go on working."""
        if self.has_focus:
            around = next((node for node in self.ancestors if isinstance(node, Widget) and node.can_focus), None)
            if around is not None:
                around.focus()

    def _fill(self) -> None:
        if width := self.scrollable_content_region.width:
            self._lines.show_all(self._draw(self._data, width))

"""The line at the top: tabs on the left, what is going on and where on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.style import Style
from textual.widget import Widget

from tui.panes import PANES, PaneEntry

if TYPE_CHECKING:
    from tui.app import LlmoptApp


class TopBar(Widget):
    """One line, whatever the width: titles shorten first, then the right side goes."""

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; background: $panel; color: $foreground; }
    """

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, pane_id: str) -> None:
            super().__init__()
            self.pane_id = pane_id

    def on_mount(self) -> None:
        """Follow the app: the open tab, and what runs."""
        self.watch(self.app, "open_tab", self._changed)
        self.watch(self.app, "activity", self._changed)

    def _changed(self, _: str) -> None:
        self.refresh()

    @property
    def _house(self) -> LlmoptApp:
        return cast("LlmoptApp", self.app)

    def render(self) -> Content:
        """Tabs, then the right side if it fits."""
        width = self.size.width
        tabs = self._tabs(width)
        right = self._right(width - sum(tab.cell_length for _, tab in tabs))
        gap = width - sum(tab.cell_length for _, tab in tabs) - right.cell_length
        return Content("").join([*(tab for _, tab in tabs), Content(" " * max(gap, 0)), right])

    def on_click(self, event: Click) -> None:
        """Open the tab under the mouse."""
        left = 0
        for row, tab in self._tabs(self.size.width):
            left += tab.cell_length
            if event.x < left:
                self.post_message(self.Chosen(row.id))
                return

    def _tabs(self, width: int) -> list[tuple[PaneEntry, Content]]:
        full = sum(len(row.title) + 4 for row in PANES)
        return [(row, self._tab(row, short=full > width and row.id != self._house.open_tab)) for row in PANES]

    def _tab(self, row: PaneEntry, *, short: bool) -> Content:
        title = row.title[:3] if short else row.title
        if row.id == self._house.open_tab:
            return Content.styled(f" {row.key} {title} ", Style(bold=True, reverse=True))
        return Content.assemble((f" {row.key}", "bold $accent"), f" {title} ")

    def _right(self, room: int) -> Content:
        parts = [part for part in (self._house.activity, self._house.place) if part]
        while parts and len(" · ".join(parts)) + 2 > room:
            parts.pop()
        return Content(f" {' · '.join(parts)} " if parts else "")

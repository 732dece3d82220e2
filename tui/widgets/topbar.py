"""The line at the top: tabs on the left, what is running and where on the right."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.style import Style
from textual.widget import Widget

from tui.shell.panes import PANES, PaneEntry
from tui.shell.shell import shell_of


class TopBar(Widget):
    """One line, whatever the width: titles shorten first, then the right side goes.

    Args:
        title: of a screen that lies over the tabs; then no tab is marked as open.
    """

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; background: $panel; color: $foreground; }
    """

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, pane_id: str) -> None:
            super().__init__()
            self.pane_id = pane_id

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self._over = title

    def on_mount(self) -> None:
        self.watch(self.app, "open_tab", self._changed)
        self.watch(self.app, "activity", self._changed)

    def _changed(self, _: str) -> None:
        self.refresh()

    def render(self) -> Content:
        """Tabs, the title of what lies over them, then the right side if it fits."""
        left = [tab for _, tab in self._tabs(self.size.width)]
        if self._over:
            left.append(_marked(self._over))
        room = self.size.width - sum(part.cell_length for part in left)
        right = self._right(room)
        return Content("").join([*left, Content(" " * max(room - right.cell_length, 0)), right])

    def on_click(self, event: Click) -> None:
        left = 0
        for row, tab in self._tabs(self.size.width):
            left += tab.cell_length
            if event.x < left:
                self.post_message(self.Chosen(row.id))
                return

    def _tabs(self, width: int) -> list[tuple[PaneEntry, Content]]:
        full = sum(len(row.title) + 4 for row in PANES)
        marked = "" if self._over else shell_of(self).open_tab
        return [(row, _tab(row, marked=row.id == marked, short=full > width)) for row in PANES]

    def _right(self, room: int) -> Content:
        shell = shell_of(self)
        parts = [part for part in (shell.activity, shell.place) if part]
        while parts and len(" · ".join(parts)) + 2 > room:
            parts.pop()
        return Content(f" {' · '.join(parts)} " if parts else "")


def _tab(row: PaneEntry, *, marked: bool, short: bool) -> Content:
    if marked:
        return _marked(f"{row.key} {row.title}")
    title = row.title[:3].rstrip("-") if short else row.title
    return Content.assemble((f" {row.key}", "bold $accent"), f" {title} ")


def _marked(text: str) -> Content:
    return Content.styled(f" {text} ", Style(bold=True, reverse=True))

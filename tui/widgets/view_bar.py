"""The one-line row of views inside the tab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class ViewBar(Widget, can_focus=True):
    """`[Setup]  Live  Results`: left and right choose."""

    DEFAULT_CSS = """
    ViewBar { height: 1; background: $panel; }
    ViewBar:focus { background: $surface-lighten-1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "step(1)", "Next view", id="views.next", show=False, tooltip="Show the next view of this tab"),
        Binding("left", "step(-1)", "Previous view", id="views.previous", show=False, tooltip="Show the previous view of this tab"),
    ]
    views: reactive[tuple[str, ...]] = reactive(())
    active: reactive[str] = reactive("")
    note: reactive[str] = reactive("")
    """What is running now, at the right end."""

    class Chosen(Message):
        """Another view was asked for."""

        def __init__(self, view: str) -> None:
            super().__init__()
            self.view = view

    def __init__(self, views: Sequence[str], active: str) -> None:
        super().__init__()
        self.set_reactive(ViewBar.views, tuple(views))
        self.set_reactive(ViewBar.active, active)

    def action_step(self, by: int) -> None:
        self.post_message(self.Chosen(self.neighbour(by)))

    def neighbour(self, by: int) -> str:
        """The view `by` places further."""
        index = self.views.index(self.active) if self.active in self.views else -by
        return self.views[(index + by) % len(self.views)]

    def on_click(self, event: events.Click) -> None:
        left = 0
        for view in self.views:
            left += len(view) + 3
            if event.x < left:
                self.post_message(self.Chosen(view))
                return

    def render(self) -> Content:
        parts = [Content.styled(f"[{view}]", "bold") if view == self.active else Content(f" {view} ") for view in self.views]
        left = Content(" ").join(parts)
        room = self.size.width - left.cell_length - 2
        if room < 8 or not self.note:
            return left
        note = self.note if len(self.note) <= room else self.note[: room - 1] + "…"
        return Content.assemble(left, " " * (self.size.width - left.cell_length - len(note)), (note, "dim"))

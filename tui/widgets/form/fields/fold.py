"""The line that opens and closes a section of a form."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tui.widgets.form.fields.row import LABEL


class Fold(Widget, can_focus=True):
    """`▸ calibration         builtin · 64 sequences`; closed it shows what its fields hold, marked like a field that is wrong or changed."""

    DEFAULT_CSS = """
    Fold { height: 1; color: $text-muted; }
    Fold:focus { background: $surface-lighten-1; text-style: bold; color: $text-accent; }
    """
    HELP = "A group of fields: enter, space, left or right expands or collapses it. Collapsed, it shows the values of its fields."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space,right,left", "fold", "Fold", id="form.fold", show=False, tooltip="Expand or collapse the group of fields")
    ]
    folded: reactive[bool] = reactive(True)
    summary: reactive[str] = reactive("")
    """What the fields hold."""
    counts: reactive[tuple[int, int]] = reactive((0, 0))
    """Fields that are not as by default, and those that are wrong."""

    class Toggled(Message):
        """The user opened or closed the fold."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def action_fold(self) -> None:
        self.folded = not self.folded
        self.post_message(self.Toggled())

    def on_click(self) -> None:
        self.action_fold()

    def render(self) -> Content:
        changed, wrong = self.counts
        title = f"{'!' if wrong else '*' if changed else ' '}{'▸' if self.folded else '▾'} {self.title}"
        if not self.folded:
            return Content(title)
        return Content.assemble(f"{title:<{LABEL}}", (f"{wrong} wrong  ", "$text-error") if wrong else "", self.summary).truncate(
            max(self.size.width, LABEL), ellipsis=True
        )

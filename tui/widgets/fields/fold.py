"""The line that opens and closes the advanced fields of a form."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class Fold(Widget, can_focus=True):
    """`▸ more: 9 fields`, with the number of changed and wrong ones behind it."""

    DEFAULT_CSS = """
    Fold { height: 1; color: $text-muted; }
    Fold:focus { background: $surface-lighten-1; text-style: bold; color: $text-accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space,right,left", "fold", "Fold", id="form.fold", show=False)]
    folded: reactive[bool] = reactive(True)
    counts: reactive[tuple[int, int, int]] = reactive((0, 0, 0))

    class Toggled(Message):
        """The person opened or closed the fold."""

    def action_fold(self) -> None:
        """Open or close."""
        self.folded = not self.folded
        self.post_message(self.Toggled())

    def on_click(self) -> None:
        """Open or close."""
        self.action_fold()

    def render(self) -> Content:
        """The state in words."""
        fields, changed, wrong = self.counts
        text = f" {'▸' if self.folded else '▾'} {'more' if self.folded else 'fewer'}: {fields} fields"
        text += f", {changed} changed" if changed else ""
        return Content.assemble(text, (f", {wrong} wrong", "$text-error") if wrong else "")

"""One of a few values on one line: left and right or space go through them. Flags are a choice of off and on."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from core.sanitize import clean
from tui.widgets.form.fields.describe import FieldView, shown
from tui.widgets.form.fields.editor import Edited, Finished


class ChoiceEditor(Widget, can_focus=True):
    """All choices side by side when they fit, otherwise the chosen one between arrows."""

    DEFAULT_CSS = """
    ChoiceEditor { height: 1; width: 1fr; }
    ChoiceEditor:focus { background: $surface-lighten-1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "step(1)", "Next choice", id="form.next-choice", show=False, tooltip="Choose the next value of the field"),
        Binding("left", "step(-1)", "Previous choice", id="form.previous-choice", show=False, tooltip="Choose the previous value of the field"),
        Binding("enter", "finish", "Next field", show=False),
    ]
    index: reactive[int] = reactive(0)

    def __init__(self, view: FieldView) -> None:
        super().__init__()
        self.view = view
        self.put(view.default)

    @property
    def choices(self) -> tuple[Any, ...]:
        return (False, True) if self.view.kind == "flag" else self.view.choices

    @property
    def HELP(self) -> str:  # type: ignore[override]  # noqa: N802
        return self.view.explained()

    def take(self, view: FieldView) -> None:
        chosen = self.get()
        self.view = view
        self.put(chosen if chosen in self.choices else view.default)

    def get(self) -> Any:
        """The chosen value, of the type the spec declares."""
        return self.choices[self.index]

    def put(self, value: Any) -> None:
        """Choose a value; one that is not among the choices chooses the first."""
        self.set_reactive(ChoiceEditor.index, self.choices.index(value) if value in self.choices else 0)
        self.refresh()

    def as_widget(self) -> Widget:
        return self

    def action_step(self, by: int) -> None:
        if len(self.choices) > 1:
            self.index = (self.index + by) % len(self.choices)
            self.post_message(Edited(self))

    def action_finish(self) -> None:
        self.post_message(Finished(self))

    def on_click(self) -> None:
        self.action_step(1)

    def render(self) -> Content:
        """`○ rtn  ● gptq`, or `‹ gptq › 2 of 7` where that is too wide, without the count where that is."""
        labels = [clean(shown(choice)) for choice in self.choices]
        if len(labels) == 1:
            return Content(labels[0])
        if sum(len(label) + 4 for label in labels) - 2 <= self.size.width:
            parts = [
                Content.styled(f"{'●' if i == self.index else '○'} {label}", "bold" if i == self.index else "dim") for i, label in enumerate(labels)
            ]
            return Content("  ").join(parts)
        chosen, place = f"‹ {labels[self.index]} ›", f" {self.index + 1} of {len(labels)}"
        return Content.assemble(chosen, (place if len(chosen) + len(place) <= self.size.width else "", "dim"))

"""One field of a form: label, editor, unit, and its complaint underneath. One widget around the editor, so that a long form opens fast."""

from __future__ import annotations

import textwrap

from textual.app import ComposeResult
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from core.sanitize import clean
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import Editor

LABEL, UNIT = 21, 11
"""Columns left and right of the editor."""


class FieldRow(Widget):
    """A line, and more while the field is wrong. It draws everything but the editor, which lies in the gap."""

    DEFAULT_CSS = f"""
    FieldRow {{ height: 1; layout: vertical; }}
    FieldRow > * {{ height: 1; margin: 0 0 0 {LABEL}; }}
    FieldRow.-unit > * {{ margin: 0 {UNIT} 0 {LABEL}; }}
    FieldRow.-hidden {{ display: none; }}
    """

    lit: reactive[bool] = reactive(False)
    """Whether the cursor is in the field."""

    def __init__(self, view: FieldView, editor: Editor) -> None:
        super().__init__(classes="-unit" if view.unit else None)
        self.view = view
        self.editor = editor
        self.problem: str | None = None
        self._changed = False

    @property
    def label(self) -> str:
        """The label with its mark: ! wrong, * not the default."""
        mark = "!" if self.problem else "*" if self._changed else " "
        return f"{mark}{self.view.label}"

    def take(self, view: FieldView) -> None:
        self.view = view
        self.editor.take(view)

    def compose(self) -> ComposeResult:
        yield self.editor.as_widget()

    def show(self, problem: str | None, *, changed: bool) -> None:
        """Mark the field as wrong (with the sentence) or right, and as changed from its default."""
        if (problem, changed) != (self.problem, self._changed):
            self.problem, self._changed = problem, changed
            self._fit()
            self.refresh()

    def on_resize(self) -> None:
        self._fit()

    def on_click(self) -> None:
        self.editor.as_widget().focus()

    def render(self) -> Content:
        label = Content.styled(self.label, "bold $text-accent" if self.lit else "").truncate(LABEL - 1, ellipsis=True)
        gap = max(self.size.width - label.cell_length - UNIT + 1, 1)
        line = Content.assemble(label, " " * gap, (clean(self.view.unit), "dim")) if self.view.unit else label
        return Content("\n").join([line, *(Content.styled(f"  {text}", "$text-error") for text in self._complaint())])

    def _fit(self) -> None:
        """As many lines as the complaint needs; setting the same height again costs nothing."""
        self.styles.height = 1 + len(self._complaint())

    def _complaint(self) -> list[str]:
        if not self.problem:
            return []
        return textwrap.wrap(f"! {clean(self.problem)}", max((self.size.width or 60) - 2, 8), subsequent_indent="  ")

"""One field of a form: label, editor, unit, and its complaint underneath."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from core.sanitize import clean
from tui.widgets.fields.describe import FieldView
from tui.widgets.fields.editor import Editor


class FieldRow(Vertical):
    """A line, and a second one while the field is wrong."""

    DEFAULT_CSS = """
    FieldRow { height: auto; }
    FieldRow > Horizontal { height: 1; }
    FieldRow .field--label { width: 21; text-wrap: nowrap; text-overflow: ellipsis; }
    FieldRow .field--unit { width: 11; padding-left: 1; color: $text-muted; }
    FieldRow .field--error { height: auto; padding-left: 2; color: $text-error; display: none; }
    FieldRow.-wrong .field--error { display: block; }
    FieldRow.-focused .field--label { text-style: bold; color: $text-accent; }
    FieldRow.-hidden { display: none; }
    """

    def __init__(self, view: FieldView, editor: Editor) -> None:
        super().__init__()
        self.view = view
        self.editor = editor
        self._label = Static(classes="field--label", markup=False)
        self._error = Static(classes="field--error", markup=False)

    def compose(self) -> ComposeResult:
        """Label, editor and unit on one line, the complaint below."""
        with Horizontal():
            yield self._label
            yield self.editor.as_widget()
            if self.view.unit:
                yield Static(clean(self.view.unit), classes="field--unit", markup=False)
        yield self._error

    def on_mount(self) -> None:
        """Show the label before anything was edited."""
        self.show(None, changed=False)

    def show(self, problem: str | None, *, changed: bool) -> None:
        """Mark the field as wrong (with the sentence) or right, and as changed from its default."""
        self.set_class(problem is not None, "-wrong")
        self._error.update(f"! {clean(problem)}" if problem else "")
        mark = "!" if problem else "*" if changed else " "
        self._label.update(Content(f"{mark}{self.view.label}"))

"""Typed values: text and numbers on one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import events
from textual.widget import Widget
from textual.widgets import Input

from core.sanitize import clean
from tui.widgets.form.fields.describe import FieldView, shown
from tui.widgets.form.fields.editor import UNSET, Edited, Finished
from tui.widgets.lazy_components import LazyComponents


class EntryEditor(LazyComponents, Input):
    """An input that shows the default, dimmed, while it is empty."""

    DEFAULT_CSS = """
    EntryEditor { width: 1fr; background: transparent; }
    EntryEditor:focus { background: $surface-lighten-1; }
    """

    def __init__(self, view: FieldView) -> None:
        super().__init__(placeholder=clean(view.blank), compact=True, select_on_focus=False)
        self.view = view
        self._known = ""
        self._put: Any = None

    @property
    def HELP(self) -> str:  # type: ignore[override]  # noqa: N802
        return self.view.explained()

    def take(self, view: FieldView) -> None:
        self.view = view
        self.placeholder = clean(view.blank)

    def get(self) -> Any:
        """The text, `UNSET` when there is none. What was put and not edited comes back as it was put, even where it could not be shown as it is."""
        if isinstance(self._put, str) and self._put and self.value == clean(self._put):
            return self._put
        return self.value.strip() or UNSET

    def put(self, value: Any) -> None:
        self._put = value
        self._known = clean(shown(value))
        self.value = self._known
        self.cursor_position = len(self.value)

    def as_widget(self) -> Widget:
        return self

    def on_input_changed(self, event: Input.Changed) -> None:
        """Report what was typed, not what was put."""
        event.stop()
        if event.value != self._known:
            self._known = event.value
            self.post_message(Edited(self))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.finish()

    def finish(self) -> None:
        self.post_message(Finished(self))

    def on_paste(self, event: events.Paste) -> None:
        """Strip what a clipboard may carry in addition to text."""
        event.text = clean(event.text)


class NumberEditor(EntryEditor):
    """A whole or decimal number; anything else is handed to the spec as typed, which then says what is wrong."""

    def get(self) -> Any:
        text = super().get()
        if text is UNSET:
            return UNSET
        for read in (int, float) if self.view.kind == "integer" else (float,):
            try:
                return read(text.replace("_", ""))
            except ValueError:
                continue
        return text


class NumbersEditor(EntryEditor):
    """Whole or decimal numbers with commas or spaces between them; anything else is handed to the spec as typed."""

    def get(self) -> Any:
        text = super().get()
        if text is UNSET or not isinstance(text, str):
            return text
        read: Callable[[str], float] = int if self.view.kind == "integers" else float
        try:
            return tuple(read(part) for part in text.replace(",", " ").split())
        except ValueError:
            return text


class NamesEditor(EntryEditor):
    """Names with commas or spaces between them."""

    def get(self) -> Any:
        text = super().get()
        return tuple(text.replace(",", " ").split()) if isinstance(text, str) else text

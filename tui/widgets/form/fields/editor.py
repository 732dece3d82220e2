"""What every editor of a form can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from textual.message import Message
from textual.widget import Widget

from tui.widgets.form.fields.describe import FieldView


class Unset:
    """The value of an editor that was left empty: the spec's default counts."""


UNSET = Unset()


@dataclass
class Edited(Message):
    """The user changed the value of an editor."""

    editor: Editor


@dataclass
class Finished(Message):
    """The user pressed enter in an editor: the form goes on to the next field."""

    editor: Editor


@runtime_checkable
class Editor(Protocol):
    """One line that shows and changes the value of a field."""

    view: FieldView

    def take(self, view: FieldView) -> None:
        """Go by another description: its default and choices may be others now."""

    def get(self) -> Any:
        """The value, typed where it can be read as its type, `UNSET` when the editor is empty."""

    def put(self, value: Any) -> None:
        """Show another value."""

    def as_widget(self) -> Widget:
        """The widget to mount and to focus."""

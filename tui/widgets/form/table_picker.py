"""Choose one of several values from a table that says what each is worth."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from core.sanitize import clean
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import Edited
from tui.widgets.table.options_screen import Options, OptionsScreen, Read, Row

__all__ = ["Options", "PickedChoice", "Read", "Row", "TablePicker"]


class TablePicker(OptionsScreen[Any]):
    """Answers the chosen value, or None."""

    HELP = "Up and down move, enter chooses, esc cancels. The lines below the table describe the highlighted row."
    KEYS = "enter choose · esc close"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="table-picker.close", tooltip="Close without changes"),
    ]

    def __init__(self, title: str, read: Read, current: Any) -> None:
        super().__init__(title, read)
        self._current = current

    def fill(self, options: Options) -> int:
        for title, width in options.columns:
            self.table.add_column(title, width=width)
        for row in options.rows:
            self.table.add_row(*(Text(clean(cell)) for cell in row.cells))
        at = next((index for index, row in enumerate(options.rows) if row.value == self._current), 0)
        self.table.move_cursor(row=at, animate=False)
        return at

    def choose(self, index: int) -> None:
        if index < len(self.options.rows):
            self.dismiss(self.options.rows[index].value)


class PickedChoice(ChoiceEditor):
    """A choice whose enter opens a table of the values."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "finish", "Choose from a table", id="form.pick-value", tooltip="Show the values in a table, with their figures")
    ]

    def __init__(self, view: FieldView, read: Read) -> None:
        self._read = read
        super().__init__(view)

    def action_finish(self) -> None:
        self.app.push_screen(TablePicker(self.view.label, self._read, self.get()), self._picked)

    def _picked(self, value: Any) -> None:
        if value is not None and value != self.get():
            self.put(value)
            self.post_message(Edited(self))

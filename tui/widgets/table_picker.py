"""Choose one of several values from a table that says what each is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from core.errors import LlmoptError
from core.sanitize import clean
from tui.widgets.fields.choice import ChoiceEditor
from tui.widgets.fields.describe import FieldView
from tui.widgets.fields.editor import Edited
from tui.widgets.table import Table
from tui.widgets.threads import in_thread


@dataclass(frozen=True)
class Row:
    """One value to choose."""

    value: Any
    cells: tuple[str, ...]
    detail: str = ""
    """Shown below the table while the row is highlighted."""


@dataclass(frozen=True)
class Options:
    """A table of values."""

    columns: tuple[tuple[str, int], ...]
    """Title and width with the gap to the next column."""
    rows: Sequence[Row]
    note: str = ""
    """Where the figures are from."""


_AROUND = 6
"""Lines around table and note: border, and what is told of the highlighted row."""

Read = Callable[[], Options]


class TablePicker(ModalScreen[Any]):
    """Answers the chosen value, or None."""

    HELP = "Up and down move, enter chooses, esc keeps the value as it was. The lines below the table tell more of the highlighted row."
    DEFAULT_CSS = """
    TablePicker { align: center middle; }
    TablePicker > Vertical { width: 84; max-width: 100%; height: 9; max-height: 100%; }
    TablePicker > Vertical { border: round $primary; background: $surface; padding: 0 1; }
    TablePicker Table { height: 1fr; overflow-x: hidden; }
    TablePicker .picker--detail { height: 3; margin-top: 1; }
    TablePicker .picker--note { height: auto; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="table-picker.close", tooltip="Keep the value as it was"),
    ]

    def __init__(self, title: str, read: Read, current: Any) -> None:
        super().__init__()
        self._title, self._read, self._current = title, read, current
        self._options = Options((), ())
        self._table: Table[Text] = Table(cursor_type="row", cell_padding=0)
        self._detail = Static("reading ...", classes="picker--detail", markup=False)
        self._note = Static(classes="picker--note", markup=False)

    def compose(self) -> ComposeResult:
        """Table, what the highlighted row is, keys."""
        with Vertical() as box:
            box.border_title = self._title
            yield self._table
            yield self._detail
            yield self._note

    def on_mount(self) -> None:
        """Read the table off the event loop."""
        self._table.focus()
        self._find()

    @in_thread(group="options", description="read the choices of a field")
    def _find(self) -> None:
        try:
            found = self._read()
        except LlmoptError as error:
            self.app.call_from_thread(self._detail.update, Content.styled(f"! {clean(str(error))}", "$text-error"))
            return
        self.app.call_from_thread(self._found, found)

    def _found(self, options: Options) -> None:
        self._options = options
        for title, width in options.columns:
            self._table.add_column(title, width=width)
        for row in options.rows:
            self._table.add_row(*(Text(clean(cell)) for cell in row.cells))
        at = next((index for index, row in enumerate(options.rows) if row.value == self._current), 0)
        self._table.move_cursor(row=at, animate=False)
        note = " · ".join(filter(None, (clean(options.note), "enter choose · esc close")))
        self._note.update(note)
        around = _AROUND + len(textwrap.wrap(note, max(self._note.size.width, 20)))
        self.query_one(Vertical).styles.height = 1 + len(options.rows) + around
        self._describe(at)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._describe(event.cursor_row)

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if event.cursor_row < len(self._options.rows):
            self.dismiss(self._options.rows[event.cursor_row].value)

    def action_close(self) -> None:
        """Answer nothing."""
        self.dismiss(None)

    def _describe(self, index: int) -> None:
        if index < len(self._options.rows):
            self._detail.update(clean(self._options.rows[index].detail))


class PickedChoice(ChoiceEditor):
    """A choice whose enter opens a table of the values."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "finish", "Choose from a table", id="form.pick-value", tooltip="Show the values in a table, with what each is worth")
    ]

    def __init__(self, view: FieldView, read: Read) -> None:
        self._read = read
        super().__init__(view)

    def action_finish(self) -> None:
        """Open the table."""
        self.app.push_screen(TablePicker(self.view.label, self._read, self.get()), self._picked)

    def _picked(self, value: Any) -> None:
        if value is not None and value != self.get():
            self.put(value)
            self.post_message(Edited(self))

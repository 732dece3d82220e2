"""Choose several values from a table that says what each is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.coordinate import Coordinate
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from core.errors import LlmoptError
from core.sanitize import clean
from tui.widgets.fields.describe import FieldView, shown
from tui.widgets.fields.editor import Edited
from tui.widgets.fields.several import SeveralEditor
from tui.widgets.table import Table
from tui.widgets.table_picker import Options, Read
from tui.widgets.threads import in_thread

ON, OFF = "●", "○"
_AROUND = 6
"""Lines around table and note: border, and what is told of the highlighted row."""
_KEYS = "space mark · a all or none · enter take · esc close"


class MarkPicker(ModalScreen[tuple[Any, ...] | None]):
    """Answers the marked values in the order of the table, or None.

    Args:
        title: of the box.
        read: finds the rows; runs in a thread.
        marked: the values to begin with.
    """

    HELP = "Up and down move, space marks or unmarks, a marks all or none, enter takes what is marked, esc keeps the values as they were."
    DEFAULT_CSS = """
    MarkPicker { align: center middle; }
    MarkPicker > Vertical { width: 84; max-width: 100%; height: 9; max-height: 100%; }
    MarkPicker > Vertical { border: round $primary; background: $surface; padding: 0 1; }
    MarkPicker Table { height: 1fr; overflow-x: hidden; }
    MarkPicker .picker--detail { height: 3; margin-top: 1; }
    MarkPicker .picker--note { height: auto; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="mark-picker.mark", tooltip="Mark the value, or take its mark away"),
        Binding("a", "all", "All or none", id="mark-picker.all", tooltip="Mark every value, or none when all are marked"),
        Binding("escape", "close", "Close", id="mark-picker.close", tooltip="Keep the values as they were"),
    ]

    def __init__(self, title: str, read: Read, marked: Sequence[Any]) -> None:
        super().__init__()
        self._title, self._read, self._marked = title, read, set(marked)
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
        for title, width in (("", 2), *options.columns):
            self._table.add_column(title, width=width)
        for row in options.rows:
            self._table.add_row(Text(self._sign(row.value)), *(Text(clean(cell)) for cell in row.cells))
        note = " · ".join(filter(None, (clean(options.note), _KEYS)))
        self._note.update(note)
        self.query_one(Vertical).styles.height = 1 + len(options.rows) + _AROUND + len(textwrap.wrap(note, max(self._note.size.width, 20)))
        self._describe(0)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._describe(event.cursor_row)

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if self._options.rows:
            self.dismiss(tuple(row.value for row in self._options.rows if row.value in self._marked))

    def action_mark(self) -> None:
        """Mark the highlighted value, or take its mark away."""
        at = self._table.cursor_row
        if at < len(self._options.rows):
            self._marked ^= {self._options.rows[at].value}
            self._sign_row(at)

    def action_all(self) -> None:
        """Mark all, or none when all are marked."""
        everything = {row.value for row in self._options.rows}
        self._marked = set() if everything <= self._marked else everything
        for at in range(len(self._options.rows)):
            self._sign_row(at)

    def action_close(self) -> None:
        """Answer nothing."""
        self.dismiss(None)

    def _sign(self, value: Any) -> str:
        return ON if value in self._marked else OFF

    def _sign_row(self, at: int) -> None:
        self._table.update_cell_at(Coordinate(at, 0), Text(self._sign(self._options.rows[at].value)))
        self._describe(at)

    def _describe(self, index: int) -> None:
        if index < len(self._options.rows):
            count = sum(row.value in self._marked for row in self._options.rows)
            self._detail.update(f"{count} of {len(self._options.rows)} marked. {clean(self._options.rows[index].detail)}")


class PickedNames(SeveralEditor):
    """Several names whose enter opens a table of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "pick", "Choose from a table", id="form.pick-values", tooltip="Show the values in a table and mark some of them")
    ]

    def __init__(self, view: FieldView, read: Read) -> None:
        self._read = read
        super().__init__(view)

    def action_pick(self) -> None:
        """Open the table."""
        self.app.push_screen(MarkPicker(self.view.label, self._read, self.names), self._picked)

    def _picked(self, names: tuple[Any, ...] | None) -> None:
        if names is not None and names != self.names:
            self.put(tuple(map(shown, names)))
            self.post_message(Edited(self))

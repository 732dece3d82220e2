"""Choose several values from a table that says what each is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate

from core.sanitize import clean
from tui.widgets.form.fields.describe import FieldView, shown
from tui.widgets.form.fields.editor import Edited
from tui.widgets.form.fields.several import SeveralEditor
from tui.widgets.table.options_screen import Options, OptionsScreen, Read, Row

ON, OFF = "●", "○"


class MarkPicker(OptionsScreen[tuple[Any, ...] | None]):
    """Answers the marked values in the order of the table, or None.

    Args:
        title: of the box.
        read: finds the rows; runs in a thread.
        marked: the values to begin with.
    """

    HELP = "Up and down move, space marks or unmarks, a marks all or none, enter accepts the marked values, esc cancels."
    KEYS = "space mark · a all or none · enter accept · esc close"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "Mark", id="mark-picker.mark", tooltip="Mark or unmark the value"),
        Binding("a", "all", "All or none", id="mark-picker.all", tooltip="Mark every value, or unmark all"),
        Binding("escape", "close", "Close", id="mark-picker.close", tooltip="Close without changes"),
    ]

    def __init__(self, title: str, read: Read, marked: Sequence[Any]) -> None:
        super().__init__(title, read)
        self._marked = set(marked)

    def fill(self, options: Options) -> int:
        for title, width in (("", 2), *options.columns):
            self.table.add_column(title, width=width)
        for row in options.rows:
            self.table.add_row(Text(self._sign(row.value)), *(Text(clean(cell)) for cell in row.cells))
        return 0

    def choose(self, index: int) -> None:  # noqa: ARG002
        if self.options.rows:
            self.dismiss(tuple(row.value for row in self.options.rows if row.value in self._marked))

    def detail(self, row: Row) -> str:
        """How many are marked, and what the row is."""
        count = sum(each.value in self._marked for each in self.options.rows)
        return f"{count} of {len(self.options.rows)} marked. {clean(row.detail)}"

    def action_mark(self) -> None:
        at = self.table.cursor_row
        if at < len(self.options.rows):
            self._marked ^= {self.options.rows[at].value}
            self._sign_row(at)

    def action_all(self) -> None:
        everything = {row.value for row in self.options.rows}
        self._marked = set() if everything <= self._marked else everything
        for at in range(len(self.options.rows)):
            self._sign_row(at)

    def _sign(self, value: Any) -> str:
        return ON if value in self._marked else OFF

    def _sign_row(self, at: int) -> None:
        self.table.update_cell_at(Coordinate(at, 0), Text(self._sign(self.options.rows[at].value)))
        self.describe(at)


class PickedNames(SeveralEditor):
    """Several names whose enter opens a table of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "pick", "Choose from a table", id="form.pick-values", tooltip="Mark values in a table")
    ]

    def __init__(self, view: FieldView, read: Read) -> None:
        self._read = read
        super().__init__(view)

    def action_pick(self) -> None:
        self.app.push_screen(MarkPicker(self.view.label, self._read, self.names), self._picked)

    def _picked(self, names: tuple[Any, ...] | None) -> None:
        if names is not None and names != self.names:
            self.put(tuple(map(shown, names)))
            self.post_message(Edited(self))

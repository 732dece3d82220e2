"""A box with a table of values, and what the highlighted one is."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from core.errors import LlmoptError
from core.sanitize import clean
from tui.widgets.table.table import Table
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
"""Lines around table and note: border, and the words on the highlighted row."""

Read = Callable[[], Options]


Answer = TypeVar("Answer")


class OptionsScreen(ModalScreen[Answer]):
    """Reads its rows in a thread and shows them; what is chosen, and how, is its subclasses'.

    Args:
        title: of the box.
        read: finds the rows; runs in a thread.
    """

    KEYS: ClassVar[str]
    """Shown below the table."""
    DEFAULT_CSS = """
    OptionsScreen { align: center middle; }
    OptionsScreen > Vertical { width: 84; max-width: 100%; height: 9; max-height: 100%; }
    OptionsScreen > Vertical { border: round $primary; background: $surface; padding: 0 1; }
    OptionsScreen Table { height: 1fr; overflow-x: hidden; }
    OptionsScreen .picker--detail { height: 3; margin-top: 1; }
    OptionsScreen .picker--note { height: auto; color: $text-muted; }
    """

    def __init__(self, title: str, read: Read) -> None:
        super().__init__()
        self._title, self._read = title, read
        self.options = Options((), ())
        self.table: Table[Text] = Table(cursor_type="row", cell_padding=0)
        self._detail = Static("reading ...", classes="picker--detail", markup=False)
        self._note = Static(classes="picker--note", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            yield self.table
            yield self._detail
            yield self._note

    def on_mount(self) -> None:
        self.table.focus()
        self._find()

    def fill(self, options: Options) -> int:
        """Put the rows into the table; the one to begin at."""
        raise NotImplementedError

    def choose(self, index: int) -> None:
        """Enter was pressed on a row."""
        raise NotImplementedError

    def detail(self, row: Row) -> str:
        """What is said of a row while it is highlighted, fit to be shown."""
        return clean(row.detail)

    def describe(self, index: int) -> None:
        """Show the words on a row."""
        if index < len(self.options.rows):
            self._detail.update(self.detail(self.options.rows[index]))

    def action_close(self) -> None:
        self.dismiss(None)

    @in_thread(group="options", description="read the choices of a field")
    def _find(self) -> None:
        try:
            found = self._read()
        except LlmoptError as error:
            self.app.call_from_thread(self._detail.update, Content.styled(f"! {clean(str(error))}", "$text-error"))
            return
        self.app.call_from_thread(self._found, found)

    def _found(self, options: Options) -> None:
        self.options = options
        at = self.fill(options)
        note = " · ".join(filter(None, (clean(options.note), self.KEYS)))
        self._note.update(note)
        self.query_one(Vertical).styles.height = 1 + len(options.rows) + _AROUND + len(textwrap.wrap(note, max(self._note.size.width, 20)))
        self.describe(at)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self.describe(event.cursor_row)

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.choose(event.cursor_row)

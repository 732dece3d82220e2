"""Finished runs: their results read as models, and a table that compares them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from rich.text import Text
from textual import events
from textual.containers import Vertical
from textual.worker import get_current_worker

from core.result import Result
from core.runs.state.store import Run
from tui.services.services import services_of
from tui.widgets.table.table import Table
from tui.widgets.threads import in_thread

R = TypeVar("R", bound=Result)
Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Finished(Generic[R]):
    """A run and what it found."""

    run: Run
    result: R


def runs_of_model(runs: Iterable[Run], capability: str, model: str) -> Iterator[Run]:
    """The runs of a capability on a model."""
    return (run for run in runs if run.capability == capability and run.asked_model == model)


def of_model(runs: Iterable[Run], capability: str, model: str, kind: type[R]) -> list[Finished[R]]:
    """The finished runs of a capability on a model that can be read, in their order. Touches the disk: call it off the event loop."""
    return [Finished(run, result) for run in runs_of_model(runs, capability, model) if (result := run.result_as(kind)) is not None]


def newest(runs: Iterable[Run], capability: str, model: str, kind: type[R], wanted: str | None = None) -> Finished[R] | None:
    """The newest finished run of a capability on a model that can be read, or the `wanted` one. Touches the disk: call it off the event loop."""
    chosen = (run for run in runs_of_model(runs, capability, model) if wanted in (None, run.id))
    return next((Finished(run, result) for run in chosen if (result := run.result_as(kind)) is not None), None)


class ReadsRuns(Vertical, Generic[Found]):
    """A view of what the finished runs of one model found."""

    model_name = ""
    """The model that was loaded last."""

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> Found:
        """What there is to show of the model. Runs in a thread.

        Args:
            runs: of this home, newest first.
            run_id: the run to begin with; None: the newest, or the one that is shown.
        """
        raise NotImplementedError

    def show_found(self, found: Found, run_id: str | None) -> None:
        """Show what was read, or how to get a result."""
        raise NotImplementedError

    def load(self, model_name: str, run_id: str | None = None) -> None:
        """Read the results of a model off the event loop, then show them."""
        self.model_name = model_name
        self._read(run_id)

    def reload(self) -> None:
        if self.model_name:
            self._read(None)

    @in_thread(group="results", description="read results", exclusive=True)
    def _read(self, run_id: str | None) -> None:
        found = self.read_runs(services_of(self).runs.list_runs(), run_id)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self.show_found, found, run_id)


@dataclass(frozen=True)
class Column(Generic[Item]):
    """One column of a `ResultTable`."""

    title: str
    width: int
    """The gap to the next column included."""
    cell: Callable[[Item], str | Text]
    align: Literal["left", "right"] = "right"
    needs: int = 0
    """Columns of the window from which on it is shown."""
    below: int = 10_000
    """Columns of the window from which on it is not shown any more."""


class ResultTable(Table[Text], Generic[Item]):
    """A table of whatever its columns can show, as many columns as there is room for. The cursor stays on its row by key.

    `DataTable.RowHighlighted` and `RowSelected` report the cursor and enter; `current` is the item that they mean.
    """

    DEFAULT_CSS = """
    ResultTable { overflow-x: hidden; }
    """

    def __init__(self, columns: Sequence[Column[Item]], id: str | None = None) -> None:  # noqa: A002
        super().__init__(cursor_type="row", cell_padding=0, id=id)
        self._of = tuple(columns)
        self._items: tuple[tuple[Hashable, Item], ...] = ()
        self._shown: tuple[Column[Item], ...] = ()

    @property
    def items(self) -> tuple[tuple[Hashable, Item], ...]:
        return self._items

    @property
    def _key(self) -> Hashable | None:
        return self._items[self.cursor_row][0] if 0 <= self.cursor_row < len(self._items) else None

    @property
    def current(self) -> Item | None:
        return self._items[self.cursor_row][1] if 0 <= self.cursor_row < len(self._items) else None

    def show(self, items: Sequence[tuple[Hashable, Item]], cursor: Hashable | None = None) -> None:
        """Show other items, each with its key.

        Args:
            items: in this order.
            cursor: key of the row that the cursor goes to; by default it stays on its own.
        """
        key = cursor if cursor is not None else self._key
        if tuple(items) == self._items and cursor is None and self._shown:
            return
        self._items = tuple(items)
        self._fill(key)

    def on_resize(self, event: events.Resize) -> None:
        if self._shown != self._fitting(event.size.width):
            self._fill(self._key)

    def use_columns(self, columns: Sequence[Column[Item]]) -> None:
        if tuple(columns) != self._of:
            self._of, self._shown = tuple(columns), ()

    def _fitting(self, width: int) -> tuple[Column[Item], ...]:
        return tuple(column for column in self._of if column.needs <= width < column.below)

    def _fill(self, key: Hashable | None) -> None:
        self._shown = self._fitting(self.size.width)
        with self.prevent(self.RowHighlighted):
            self.clear(columns=True)
            for column in self._shown:
                title = f"{column.title:>{column.width - 1}}" if column.align == "right" else column.title
                self.add_column(title, width=column.width)
            for _, item in self._items:
                self.add_row(*(self._cell(column, item) for column in self._shown))
            at = next((index for index, (each, _) in enumerate(self._items) if each == key), 0)
            self.move_cursor(row=at, animate=False)

    def _cell(self, column: Column[Item], item: Item) -> Text:
        cell = column.cell(item)
        text = cell if isinstance(cell, Text) else Text(cell)
        text.truncate(column.width - 1, overflow="ellipsis")
        if column.align == "right":
            text.pad_left(max(column.width - 1 - text.cell_len, 0))
        return text

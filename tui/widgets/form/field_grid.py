"""A few fields in columns, for what is answered at once: label and editor, nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal
from textual.message import Message
from textual.widgets import Static

from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import UNSET, Edited, Editor, Finished


@dataclass(frozen=True)
class GridField:
    """One field: how it is called here, what it is, what edits it."""

    label: str
    view: FieldView
    editor: type[Any]
    span_below: int = 0
    """Cells of the grid below which it takes a line of its own."""


class FieldGrid(Grid):
    """Fields from left to right, then down. Every edit of a user is reported as `Changed`."""

    DEFAULT_CSS = """
    FieldGrid { grid-size: 2; grid-rows: 1; grid-gutter: 0 2; height: auto; }
    FieldGrid > Horizontal, FieldGrid > Horizontal:focus-within { height: 1; }
    FieldGrid .grid--label { width: 16; color: $text-muted; }
    FieldGrid > Horizontal:focus-within .grid--label { text-style: bold; color: $text-accent; }
    FieldGrid Input { padding: 0; }
    FieldGrid > .-span { column-span: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "go(1)", "Next field", show=False, id="grid.down", tooltip="The field below"),
        Binding("up", "go(-1)", "Previous field", show=False, id="grid.up", tooltip="The field above"),
    ]

    @dataclass
    class Changed(Message):
        """A user edited a field."""

        grid: FieldGrid
        name: str

        @property
        def control(self) -> FieldGrid:
            return self.grid

    def __init__(
        self,
        fields: Sequence[GridField],
        columns: int = 2,
        wide: tuple[int, int] | None = None,
        *,
        filled: bool = True,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Make a grid.

        Args:
            fields: in reading order; those that span come first.
            columns: one or two.
            wide: (cells, columns): from how many cells on there are how many columns.
            filled: whether the fields begin with their defaults; otherwise an empty one shows its default dimmed.
        """
        super().__init__(id=id)
        self._fields = tuple(fields)
        self._narrow, self._wide = columns, wide
        self._columns = columns
        self.editors: dict[str, Editor] = {field.view.name: field.editor(field.view) for field in fields}
        for field in fields:
            if filled and field.view.default is not None:
                self.editors[field.view.name].put(field.view.default)

    def compose(self) -> ComposeResult:
        for field in self._fields:
            with Horizontal():
                yield Static(field.label, classes="grid--label", markup=False)
                yield self.editors[field.view.name].as_widget()

    def on_resize(self, event: events.Resize) -> None:
        wide = self._wide is not None and event.size.width >= self._wide[0]
        self._columns = self._wide[1] if self._wide is not None and wide else self._narrow
        self.styles.grid_size_columns = self._columns
        for field, line in zip(self._fields, self.children, strict=True):
            line.set_class(self._spans(field), "-span")

    @property
    def rows(self) -> int:
        return max(row for row, _ in self._places) + 1

    @property
    def _places(self) -> list[tuple[int, int]]:
        """Row and column of each field."""
        places, cell = [], 0
        for field in self._fields:
            places.append(divmod(cell, self._columns))
            cell += self._columns if self._spans(field) else 1
        return places

    def _spans(self, field: GridField) -> bool:
        return self._columns == 2 and self.size.width < field.span_below

    def values(self) -> dict[str, Any]:
        """What the fields hold; one that was left empty is left out."""
        held = {name: editor.get() for name, editor in self.editors.items()}
        return {name: value for name, value in held.items() if value is not UNSET}

    def put(self, values: Mapping[str, Any]) -> None:
        """Fill in some of the fields without a message."""
        for name, value in values.items():
            if name in self.editors:
                self.editors[name].put(value)

    def focus_first(self) -> None:
        next(iter(self.editors.values())).as_widget().focus()

    def action_go(self, by: int) -> None:
        """Move within a column; beyond its end the focus leaves the grid."""
        widgets = [self.editors[field.view.name].as_widget() for field in self._fields]
        at = next((index for index, widget in enumerate(widgets) if widget.has_focus), 0)
        row, column = self._places[at]
        level = [index for index, place in enumerate(self._places) if place[0] == row + by]
        if level:
            widgets[min(level, key=lambda index: abs(self._places[index][1] - column))].focus()
        elif by > 0:
            self.screen.set_focus(widgets[-1])
            self.screen.focus_next()
        else:
            self.screen.set_focus(widgets[0])
            self.screen.focus_previous()

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        event.stop()
        self.post_message(self.Changed(self, event.editor.view.name))

    @on(Finished)
    def _finished(self, event: Finished) -> None:
        event.stop()
        self.screen.focus_next()

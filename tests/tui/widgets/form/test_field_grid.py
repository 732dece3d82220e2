"""A few fields in columns: they are walked through by column, tell of every edit, and take as many columns as there is room for."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from tui.widgets.form.field_grid import FieldGrid, GridField
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.entry import NumberEditor

FIELDS = (
    GridField("sort", FieldView("sort", "choice", "Which", "bread", choices=("bread", "cake")), ChoiceEditor, span_below=50),
    *(GridField(name, FieldView(name, "number", name, value), NumberEditor) for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0))),
)


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def compose(self) -> ComposeResult:
        self.grid = FieldGrid(FIELDS, columns=2, wide=(90, 3))
        yield self.grid
        self.last = Input()
        yield self.last

    def on_field_grid_changed(self, event: FieldGrid.Changed) -> None:
        self.heard.append(event.name)


def app_of(pilot: Pilot[None]) -> Host:
    assert isinstance(pilot.app, Host)
    return pilot.app


@pytest.mark.parametrize(("width", "rows"), [(40, 3), (60, 3), (100, 2)])
async def test_it_takes_as_many_lines_as_it_says(width: int, rows: int) -> None:
    async with Host().run_test(size=(width, 12)) as pilot:
        await pilot.pause()
        assert app_of(pilot).grid.rows == rows
        assert app_of(pilot).grid.size.height == rows


@pytest.mark.parametrize(("width", "path"), [(40, "sort a c last"), (60, "sort b d last"), (100, "sort c last")])
async def test_down_goes_through_a_column_and_out_below(width: int, path: str) -> None:
    async with Host().run_test(size=(width, 12)) as pilot:
        await pilot.pause()
        app = app_of(pilot)
        widgets = {name: editor.as_widget() for name, editor in app.grid.editors.items()} | {"last": app.last}
        app.grid.focus_first()
        await pilot.pause()
        for name in path.split()[1:]:
            await pilot.press("down")
            await pilot.pause()
            assert app.focused is widgets[name]


async def test_every_edit_of_a_person_is_told_and_what_a_program_puts_is_not() -> None:
    async with Host().run_test(size=(60, 12)) as pilot:
        app = app_of(pilot)
        app.grid.put({"a": 7.5, "nothing": 1})
        await pilot.pause()
        assert app.heard == []
        app.grid.focus_first()
        await pilot.press("right")
        app.grid.editors["b"].as_widget().focus()
        await pilot.press("end", "5")
        await pilot.pause()
        assert app.heard == ["sort", "b"]
        assert app.grid.values() == {"sort": "cake", "a": 7.5, "b": 2.05, "c": 3.0, "d": 4.0}

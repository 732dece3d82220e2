"""A table that shows where one is, and a table to choose from."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import DataTable

from core.errors import RequestError
from tests.tui.waiting import until
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.editor import Edited
from tui.widgets.form.table_picker import Options, PickedChoice, Row, TablePicker
from tui.widgets.table.table import Table

FRUIT = Options((("fruit", 10), ("price", 80)), [Row(name, (name, "1"), f"a {name}") for name in ("apple", "pear", "plum")], "a day's prices")


class Host(App[None]):
    def compose(self) -> ComposeResult:
        self.table: Table[str] = Table(cursor_type="row")
        self.table.display = False
        yield self.table

    def on_mount(self) -> None:
        self.table.add_columns("number", "square")

    def fill(self) -> Table[str]:
        self.table.display = True
        self.table.add_rows((str(number), str(number**2)) for number in range(100))
        return self.table


def app_of(pilot: Pilot[None]) -> Host:
    assert isinstance(pilot.app, Host)
    return pilot.app


async def test_a_table_that_was_scrolled_before_it_is_shown_has_its_thumb_in_place() -> None:
    async with Host().run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        table = app_of(pilot).fill()
        table.move_cursor(row=99, animate=False)
        await until(pilot, lambda: table.scroll_y > 0)
        assert table.vertical_scrollbar.position == table.scroll_y


async def test_home_and_end_go_to_the_first_and_the_last_row() -> None:
    async with Host().run_test(size=(40, 10)) as pilot:
        table = app_of(pilot).fill()
        table.focus()
        await pilot.press("end")
        assert table.cursor_row == 99
        await pilot.press("home")
        assert table.cursor_row == 0


async def test_the_cursor_stays_in_sight_when_a_bar_appears_below_the_rows() -> None:
    async with Host().run_test(size=(40, 10)) as pilot:
        table = app_of(pilot).fill()
        table.move_cursor(row=99, animate=False)
        await until(pilot, lambda: table.scroll_y > 0)
        await pilot.pause()
        before = table.scroll_y
        table.add_column("remark", width=60)
        await until(pilot, lambda: table.show_horizontal_scrollbar)
        await until(pilot, lambda: table.scroll_y == before + 1)
        await pilot.resize_terminal(40, 8)
        await until(pilot, lambda: table.scroll_y == before + 3)


class Shop(App[None]):
    def __init__(self, options: Options | None = FRUIT) -> None:
        super().__init__()
        self.options = options
        self.heard: list[object] = []

    def read(self) -> Options:
        if self.options is None:
            raise RequestError("the shop is closed: come back tomorrow")
        return self.options

    def compose(self) -> ComposeResult:
        self.editor = PickedChoice(FieldView("fruit", "choice", "Fruit", default="pear", choices=("apple", "pear", "plum")), self.read)
        yield self.editor

    def on_edited(self, event: Edited) -> None:
        self.heard.append(event.editor.get())


def shop_of(pilot: Pilot[None]) -> Shop:
    assert isinstance(pilot.app, Shop)
    return pilot.app


@pytest.mark.parametrize(
    ("keys", "chosen"), [(("enter",), "pear"), (("down", "enter"), "plum"), (("home", "enter"), "apple"), (("up", "escape"), "pear")]
)
async def test_enter_chooses_the_highlighted_row_and_escape_none(keys: tuple[str, ...], chosen: str) -> None:
    async with Shop().run_test(size=(40, 12)) as pilot:
        shop_of(pilot).editor.focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and pilot.app.screen.query_one(DataTable).row_count == 3)
        assert pilot.app.screen.query_one(DataTable).cursor_row == 1, "it begins with what is chosen"
        await pilot.press(*keys)
        await until(pilot, lambda: not isinstance(pilot.app.screen, TablePicker))
        assert shop_of(pilot).editor.get() == chosen
        assert shop_of(pilot).heard == ([] if chosen == "pear" else [chosen])


async def test_a_table_that_cannot_be_read_is_a_sentence() -> None:
    async with Shop(None).run_test(size=(40, 12)) as pilot:
        shop_of(pilot).editor.focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker))
        await until(pilot, lambda: "closed" in str(pilot.app.screen.query_one(".picker--detail").render()))
        await pilot.press("enter", "escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, TablePicker))
        assert shop_of(pilot).editor.get() == "pear"

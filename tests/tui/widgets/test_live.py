"""Lines and tables that change while one looks: what is shown, and how little of it is painted again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tui.widgets.live import LiveLines, changed_span, clip, fit, joined, line_width
from tui.widgets.table.live_table import LiveTable

LINES = st.lists(st.tuples(st.text(alphabet="ab 漢█", max_size=6), st.sampled_from(["", "bar", "muted"])), max_size=6).map(tuple)


def cells(line, width):
    """(character, tone) of every cell."""
    out = [(character, tone) for text, tone in line for character in text for _ in range(cell_len(character))]
    return (out + [(" ", "")] * width)[:width]


@given(LINES, LINES)
def test_the_span_that_is_painted_again_covers_every_difference(old, new):
    width = max(line_width(old), line_width(new), 1)
    start, end = changed_span(old, new, width)
    before, after = cells(old, width), cells(new, width)
    assert 0 <= start < end
    for at, (left, right) in enumerate(zip(before, after, strict=True)):
        if left != right and (left[0], right[0]) != (" ", " "):
            assert start <= at < end


def test_only_the_run_that_changed_is_painted_again():
    old = (("GPU 0 ", ""), (" 64%", "bar"), ("  idle", "muted"))
    assert changed_span(old, (old[0], (" 65%", "bar"), old[2]), 80) == (6, 10)  # type: ignore[arg-type]


@given(LINES, st.integers(0, 20))
def test_a_clipped_line_fits(line, width):
    assert line_width(clip(line, width)) <= width


@given(st.text(alphabet="abc漢", max_size=12), st.integers(0, 12), st.sampled_from(["left", "right"]))
def test_text_is_fitted_exactly(text, width, align):
    assert cell_len(fit(text, width, align)) == width


class Screen(App[None]):
    def __init__(self, widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def table(count: int, head: str = "head") -> tuple:
    return ((head, "muted"),), [(f"key {at}", ((f"row {at}", ""),)) for at in range(count)]


async def test_lines_are_shown_and_equal_ones_paint_nothing(monkeypatch):
    lines = LiveLines([(("one", ""),), (("two", "bad"),)])
    async with Screen(lines).run_test(size=(20, 4)) as pilot:
        await pilot.pause()
        assert lines.plain == "one\ntwo"
        assert lines.size.height == 2
        painted = []
        monkeypatch.setattr(lines, "refresh", lambda *regions, **_: painted.extend(regions))
        lines.show([(("one", ""),), (("two", "bad"),)])
        assert painted == []
        lines.show([(("one", ""),), (("too", "bad"),)])
        assert [(region.y, region.height) for region in painted] == [(1, 1)]


async def test_the_cursor_moves_scrolls_and_tells():
    rows = LiveTable()
    async with Screen(rows).run_test(size=(20, 5)) as pilot:
        rows.show_rows(*table(10))
        rows.focus()
        await pilot.press("down", "down", "down", "down", "down")
        assert rows.cursor == "key 5"
        assert rows.plain.split("\n")[0] == "head"
        assert "›row 5" in rows.plain
        await pilot.press("end")
        assert rows.cursor == "key 9"
        await pilot.press("pageup")
        assert rows.cursor == "key 5"
        await pilot.press("home")
        assert rows.cursor == "key 0"
        assert "›row 0" in rows.plain


async def test_the_cursor_stays_on_its_row_when_rows_change_places_and_near_it_when_the_row_is_gone():
    rows = LiveTable()
    async with Screen(rows).run_test(size=(20, 8)):
        head, body = table(5)
        rows.show_rows(head, body)
        rows.move_to("key 3")
        rows.show_rows(head, body[::-1])
        assert rows.cursor == "key 3"
        rows.show_rows(head, [row for row in body if row[0] != "key 3"])
        assert rows.cursor in {"key 1", "key 2"}
        rows.show_rows(head, [])
        assert rows.cursor is None


async def test_a_table_without_rows_says_why():
    rows = LiveTable(empty="nothing runs")
    async with Screen(rows).run_test(size=(20, 4)):
        rows.show_rows(((("head"), ""),), [])
        assert "nothing runs" in rows.plain


@pytest.mark.parametrize("y", [1, 3])
async def test_a_click_goes_to_the_row_and_a_second_one_opens_it(y):
    chosen = []

    class Clicked(Screen):
        def on_live_table_chosen(self, event: LiveTable.Chosen) -> None:
            chosen.append(event.key)

    rows = LiveTable()
    async with Clicked(rows).run_test(size=(20, 8)) as pilot:
        rows.show_rows(*table(5))
        rows.move_to("key 1")
        await pilot.click(LiveTable, offset=(3, y))
        assert rows.cursor == f"key {y - 1}"
        assert chosen == []
        await pilot.click(LiveTable, offset=(3, y))
        assert chosen == [f"key {y - 1}"]


async def test_colours_of_another_theme_are_painted_at_once():
    lines = LiveLines([(("one", "bar"),)])
    async with Screen(lines).run_test(size=(20, 4)) as pilot:
        await pilot.pause()
        before = lines.render_line(0)
        pilot.app.theme = "textual-light"
        await pilot.pause()
        assert lines.render_line(0) != before


def test_neighbours_of_one_tone_are_told_to_the_terminal_once():
    line = (("a", "bar"), ("b", "bar"), ("  ", ""), ("c", "bar"), ("d", ""), ("", "bad"))
    assert joined(line) == [("ab  c", "bar"), ("d", "")]  # type: ignore[arg-type]


@given(LINES)
def test_joining_keeps_every_character(line):
    assert "".join(text for text, _ in joined(line)) == "".join(text for text, _ in line)

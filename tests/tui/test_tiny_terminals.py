"""A terminal of a few cells, or a key before the first tab is open, ends nothing: the app is there again when there is room."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from textual.command import CommandList
from textual.geometry import Size

from tests.tui.waiting import until
from tui.app import LlmoptApp
from tui.experiment.fit import Fit, FitPanel
from tui.shell.commands import Palette
from tui.shell.panes import PANES

TINY = [(width, height) for width in (1, 2, 3, 5, 8, 13, 20) for height in (1, 2, 3, 4)] + [(200, 2), (1, 60), (40, 5)]
KEYS = (
    *("f1", "f4", "f6", "f9", "ctrl+p", "ctrl+r", "ctrl+l", "escape", "escape", "enter", "tab", "shift+tab", "space", "backspace"),
    *("down", "up", "left", "right", "pagedown", "pageup", "home", "end", *"acvmykxn/?"),
)


@pytest.mark.parametrize("keys", [("ctrl+p",), ("ctrl+p", "ctrl+p"), ("f1", "escape"), ("escape",), ("ctrl+p", "f1", "escape")])
async def test_a_key_before_the_first_tab_is_open_ends_nothing(make_app: Callable[..., LlmoptApp], keys: tuple[str, ...]) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        await until(pilot, lambda: pilot.app.query("#panes > *"))
        assert pilot.app.is_running


@pytest.mark.parametrize("turns", range(0, 12, 3))
async def test_a_palette_opened_again_while_it_still_closes_ends_nothing(make_app: Callable[..., LlmoptApp], turns: int) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        app = pilot.app
        await until(pilot, lambda: app.query("#panes > *"))
        for _ in range(2):
            app.action_command_palette()
            for _ in range(3):
                await asyncio.sleep(0)
            app.pop_screen()
            for _ in range(turns):
                await asyncio.sleep(0)
        await pilot.pause()
        assert app.is_running


async def test_a_search_begun_as_the_palette_closes_ends_nothing(make_app: Callable[..., LlmoptApp]) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.query("#panes > *"))
        pilot.app.action_command_palette()
        await pilot.pause()
        palette = pilot.app.screen
        assert isinstance(palette, Palette)
        await palette.query_one(CommandList).remove()
        await palette._gather_commands("theme").wait()
        assert pilot.app.is_running


@pytest.mark.parametrize("seed", range(4))
async def test_keys_and_sizes_in_any_order_end_nothing(make_app: Callable[..., LlmoptApp], seed: int) -> None:
    draw = random.Random(seed)
    app = make_app()
    async with app.run_test(size=draw.choice(TINY)) as pilot:
        for step in range(40):
            match draw.random():
                case share if share < 0.25:
                    await pilot.resize_terminal(*draw.choice(TINY))
                case share if share < 0.45 or step % 10 == 0:
                    app.open_pane(draw.choice(PANES).id)
                case _:
                    await pilot.press(draw.choice(KEYS))
        await pilot.resize_terminal(120, 36)
        app.open_pane(PANES[0].id)
        await until(pilot, lambda: app.open_tab == PANES[0].id and app.pane(PANES[0].id) is not None)
        assert app.is_running


@pytest.mark.parametrize("width", [0, 1, 2])
def test_a_verdict_without_a_column_is_one_cell_wide(width: int) -> None:
    view = FitPanel()
    view._fit = Fit(refusal="the model does not fit")
    assert view.get_content_height(Size(width, 1), Size(width, 1), width) > 2

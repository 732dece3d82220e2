"""Panes that are too low for what is opened in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tui.app import LlmoptApp


@pytest.mark.parametrize("size", [(80, 4), (80, 3), (80, 1), (12, 5)])
@pytest.mark.parametrize(
    "keys", [("ctrl+p", "pageup"), ("ctrl+p", "pagedown", "pageup", "end", "home", "down", "up"), ("f1", "pagedown"), ("ctrl+o",)]
)
async def test_paging_where_nothing_fits_is_nothing(make_app: Callable[..., LlmoptApp], size: tuple[int, int], keys: tuple[str, ...]) -> None:
    async with make_app().run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        pilot.app.search_themes()
        await pilot.pause()
        await pilot.press("pageup", "pagedown")

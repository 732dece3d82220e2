"""A style sheet is parsed once, however many kinds of widgets there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from textual.css.parse import parse
from textual.css.stylesheet import Stylesheet
from textual.widget import Widget

from tests.tui.waiting import until
from tui.app import LlmoptApp


async def test_one_more_kind_of_widget_parses_one_more_style_sheet(make_app: Callable[..., LlmoptApp], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Stylesheet, "_parse_cache")
    parsed: list[str] = []

    def counted(scope: str, css: str, *arguments: Any, **options: Any) -> Iterator[Any]:
        parsed.append(css)
        return iter(parse(scope, css, *arguments, **options))

    monkeypatch.setattr("textual.css.stylesheet.parse", counted)
    kinds = [type(f"Kind{number}", (Widget,), {"DEFAULT_CSS": f"Kind{number} {{ display: none; }}"}) for number in range(101)]
    async with make_app().run_test() as pilot:
        await until(pilot, lambda: pilot.app.workers._workers == set() or all(worker.is_finished for worker in pilot.app.workers))
        await pilot.app.screen.mount_all(kind() for kind in kinds[:100])
        parsed.clear()
        await pilot.app.screen.mount(kinds[100]())
        assert [css for css in parsed if "Kind" in css] == ["Kind100 { display: none; }"]

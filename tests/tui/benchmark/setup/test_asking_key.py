"""The key of a server, asked for on the screen when the variable that should hold it is not set."""

from __future__ import annotations

import os

import pytest
from textual.widgets import Input

from core import sanitize
from tests.tui.benchmark.conftest import MakeApp, RecordingRuns, open_tab, settle, shown, until
from tui.benchmark.setup.ask_key import KeyPrompt

KEY = "sk-sEcReT-0123456789abcdef"


async def test_the_key_is_asked_for_hidden_and_kept_in_the_environment_alone(
    make_app: MakeApp, runs: RecordingRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanitize, "_SECRETS", set())
    monkeypatch.setenv("ASKED_FOR", "")
    async with make_app().run_test(size=(60, 20)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("model", "http://127.0.0.1:9")
        pane.setup.form.set_value("key_env", "ASKED_FOR")
        await settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyPrompt))
        await pilot.press(*"typed", "escape")
        await settle(pilot)
        assert not runs.started
        assert not os.environ["ASKED_FOR"]

        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, KeyPrompt))
        pilot.app.screen.query_one(Input).insert_text_at_cursor(KEY)
        await settle(pilot)
        assert "ASKED_FOR is not set" in " ".join(shown(pilot).split())
        assert KEY[:4] not in shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bool(runs.started))
        assert os.environ["ASKED_FOR"] == KEY
        assert KEY not in runs.started[0].model_dump_json()
        assert sanitize.clean(f"refused: {KEY}") == "refused: [key]"

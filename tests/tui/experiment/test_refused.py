"""A form refuses what the command line refuses, with the same sentence, before there is a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from core.errors import RequestError
from core.models.resolve import resolve
from core.runs.launch.admission import admit
from core.runs.launch.launch import LocalLauncher
from core.runs.state import store
from tests.tui.fakes import FakeServices
from tests.tui.quantize.conftest import settle
from tests.tui.waiting import until
from tui.app import LlmoptApp
from tui.experiment.pane import ExperimentPane
from tui.experiment.setups import Setups
from tui.shell.panes import PaneEntry

NOWHERE = "/nowhere/story.txt"
FORMS = (
    ("quantize", "", {"text": NOWHERE}),
    ("quantize", "", {"calibration": NOWHERE}),
    ("kv-cache", "schemes", {"text": NOWHERE}),
    ("kv-cache", "why", {"text": NOWHERE}),
    ("kv-cache", "pages", {"text": NOWHERE}),
    ("speculate", "", {"text": NOWHERE}),
    ("benchmark", "load", {"text": NOWHERE}),
    ("benchmark", "engines", {"text": NOWHERE}),
)


class Bundled:
    """The bundled models as they are."""

    def resolve(self, name: str) -> Any:
        return resolve(name, allow_download=False)


@pytest.fixture
def services() -> FakeServices:
    return FakeServices(models=Bundled())


@pytest.mark.parametrize(("tab", "form", "values"), FORMS, ids=lambda each: ".".join(each) if isinstance(each, dict) else each)
async def test_a_file_that_is_not_there(
    tab: str, form: str, values: dict[str, str], make_app: Callable[..., LlmoptApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = PaneEntry.load
    monkeypatch.setattr(PaneEntry, "load", lambda self: load(self) if self.id == tab else Static)
    monkeypatch.setattr(LocalLauncher, "start", lambda _self, run: run.state)
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        app.open_pane(tab)
        await settle(pilot)
        pane = app.pane(tab)
        assert isinstance(pane, ExperimentPane)
        if isinstance(pane.setup, Setups):
            pane.setup.choose(form)
        view = pane.setup.current if isinstance(pane.setup, Setups) else pane.setup
        for name, value in values.items():
            view.form.set_value(name, value)
        spec = view.spec()
        assert spec is not None
        with pytest.raises(RequestError) as refused:
            admit(spec)
        await settle(pilot)
        assert str(refused.value) in str(view.fit.render())
        pane.action_start()
        await until(pilot, lambda: len(app._notifications) > 0)
        assert [note.message for note in app._notifications] == [str(refused.value)]
        assert store.list_runs() == []
        assert view.spec() == spec, "nothing that was typed is lost"


async def test_a_file_that_went_after_the_form_was_checked(
    make_app: Callable[..., LlmoptApp], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load = PaneEntry.load
    monkeypatch.setattr(PaneEntry, "load", lambda self: load(self) if self.id == "quantize" else Static)
    text = tmp_path / "story.txt"
    text.write_text("once upon a time")
    app = make_app()
    async with app.run_test(size=(120, 36)) as pilot:
        app.open_pane("quantize")
        await settle(pilot)
        pane = app.pane("quantize")
        assert isinstance(pane, ExperimentPane)
        pane.setup.form.set_value("text", str(text))
        await settle(pilot)
        text.unlink()
        pane.action_start()
        await until(pilot, lambda: len(app._notifications) > 0)
        assert store.list_runs() == []

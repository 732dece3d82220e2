"""The form of the Quantize tab: pickers of models, methods and levels, and values filled in from elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from core.quantize.methods import METHODS
from core.quantize.spec import QuantizeSpec
from tests.tui.fakes import FakeServices
from tests.tui.quantize.conftest import open_quantize, settle, text_of, until
from tui.app import LlmoptApp
from tui.experiment.fit import FitPanel
from tui.widgets.form.model_picker import ModelPicker
from tui.widgets.form.table_picker import TablePicker

MakeApp = Callable[..., LlmoptApp]


async def test_the_method_is_chosen_from_a_table_and_brings_its_fields(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        form = pane.setup.form
        form.focus_field("method")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and pilot.app.screen.query_one(DataTable).row_count == len(METHODS))
        await settle(pilot)
        await pilot.press("down", "down", "down", "enter")
        await settle(pilot)
        assert form.spec() == QuantizeSpec(model="bundled:base", method="fp8")
        assert form.rows["fp8_format"].display
        assert not form.rows["bits"].display
        assert "FP8" in text_of(pilot, FitPanel)


async def test_a_level_is_chosen_by_its_size_on_this_model(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPT_LLAMA_PYTHON", sys.executable)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.prefill({"method": "gguf"})
        await settle(pilot)
        pane.setup.form.focus_field("level")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and pilot.app.screen.query_one(DataTable).row_count > 0)
        await settle(pilot)
        assert "Q4_K" in text_of_screen(pilot), "it begins with the level of the form"
        await pilot.press("down", "enter")
        await settle(pilot)
        assert pane.setup.spec() == QuantizeSpec(model="bundled:base", method="gguf", level="Q4_K_S")


async def test_a_level_table_without_a_model_is_a_sentence(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.prefill({"method": "gguf", "model": "/models/none"})
        await settle(pilot)
        pane.setup.form.focus_field("level")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and "no such path" in text_of_screen(pilot))
        await pilot.press("enter", "escape")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, TablePicker)


def text_of_screen(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one(".picker--detail").render())


async def test_the_picker_filters_and_fills_the_form(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await pilot.press("f2")
        await settle(pilot)
        assert isinstance(pilot.app.screen, ModelPicker)
        await pilot.press(*"story", "enter")
        await settle(pilot)
        assert pane.setup.form.values()["model"] == "/models/story-llama"


async def test_a_hurried_enter_waits_for_the_list_and_takes_what_was_typed(make_app: MakeApp, services: FakeServices) -> None:
    gate, listing = Event(), services.models.listing

    def slow() -> Any:
        gate.wait(5)
        return listing()

    services.models.listing = slow
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await pilot.press("f2")
        await pilot.pause()
        for key in (*"story", "enter"):
            pilot.app.simulate_key(key)
        gate.set()
        await until(pilot, lambda: pane.setup.form.values()["model"] == "/models/story-llama")


async def test_prefill_from_a_recommendation_leaves_out_what_it_does_not_know(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.prefill({"model": "/models/story-llama", "bits": 8, "granularity": "channel", "colour": "blue"})
        await settle(pilot)
        assert pane.setup.spec() == QuantizeSpec(model="/models/story-llama", bits=8, granularity="channel")

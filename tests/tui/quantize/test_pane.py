"""What starts from the Quantize tab, what is refused, and the way around its views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.quantize.spec import QuantizeSpec
from tests.tui.compression.panes import assert_f4_reaches_every_view
from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize import made
from tests.tui.quantize.conftest import RecordingRuns, answer, open_quantize, settle, text_of, until
from tui.app import LlmoptApp
from tui.experiment.fit import FitPanel
from tui.quantize.pane import LIVE, SETUP, QuantizePane

MakeApp = Callable[..., LlmoptApp]


async def test_the_form_stands_with_a_judgement_of_the_default_request(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == QuantizeSpec(model="bundled:base")
        judged = text_of(pilot, FitPanel)
        assert "bits per weight, 70 linears quantized" in judged
        assert "6.0 GiB free" in judged


async def test_a_request_that_does_not_fit_the_model_is_refused_before_the_start(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.setup.form.set_value("group_size", 100)
        await until(pilot, lambda: "does not divide the rows" in text_of(pilot, FitPanel))
        await pilot.press("f5")
        await settle(pilot)
        assert runs.started == []
        assert pane.bar.active == SETUP


async def test_a_mistake_in_the_form_keeps_the_start_back_and_gets_the_cursor(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.setup.form.set_value("bits", 9)
        await pilot.press("f5")
        await settle(pilot)
        assert runs.started == []
        assert pilot.app.focused is pane.setup.form.rows["bits"].editor


async def test_f5_starts_what_the_form_says_and_shows_it_live(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await pilot.press("down", "down", "left", "f5")
        await until(pilot, lambda: pane.live.going)
        assert runs.started == [QuantizeSpec(model="bundled:base", method="rtn")]
        assert pane.bar.active == LIVE


async def test_while_a_run_is_being_started_a_second_press_does_nothing(make_app: MakeApp, runs: RecordingRuns) -> None:
    runs.gate.clear()
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_quantize(pilot)
        await pilot.press("f5", "f5")
        runs.gate.set()
        await settle(pilot)
        assert len(runs.started) == 1


async def test_a_second_run_beside_a_first_asks_first(make_app: MakeApp, runs: RecordingRuns) -> None:
    made.run_of(made.spec(), "20260101-115900-quantize-0aaa", created=NOW - 20)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.going)
        await answer(pilot, "f5", "n")
        await settle(pilot)
        assert runs.started == []
        await answer(pilot, "f5", "y")
        await until(pilot, lambda: len(runs.started) == 1)


async def test_an_unforeseen_error_is_told_and_the_next_start_works(make_app: MakeApp, runs: RecordingRuns, llmopt_home: Path) -> None:
    start, runs.start = runs.start, lambda _: 1 / 0  # type: ignore[assignment, return-value]
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_quantize(pilot)
        await pilot.press("f5")
        await settle(pilot)
        assert [note.severity for note in pilot.app._notifications] == ["error"]
        assert "ZeroDivisionError" in (llmopt_home / "crash.log").read_text()
        runs.start = start  # type: ignore[method-assign]
        await pilot.press("f5")
        await until(pilot, lambda: len(runs.started) == 1)


async def test_a_view_that_cannot_read_says_so(make_app: MakeApp, services: FakeServices, llmopt_home: Path) -> None:
    services.models.listing = lambda: 1 / 0
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_quantize(pilot)
        await pilot.press("f2")
        await settle(pilot)
        assert "ZeroDivisionError" in (llmopt_home / "crash.log").read_text()


async def test_read_only_starts_nothing(make_app: MakeApp, services: FakeServices, runs: RecordingRuns) -> None:
    services.read_only = True
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_quantize(pilot)
        await pilot.press("f5", "f6")
        await settle(pilot)
        assert runs.started == []


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
async def test_every_view_is_reached_by_f4_at_any_width(make_app: MakeApp, columns: int) -> None:
    await assert_f4_reaches_every_view(make_app, "quantize", QuantizePane, columns)


async def test_every_action_can_be_found_in_the_palette() -> None:
    for binding in QuantizePane.BINDINGS:
        assert binding.id, binding
        assert binding.description, binding
        assert binding.tooltip, binding
        assert not {"ctrl+enter", "alt"} & set(binding.key.replace("+", ",").split(",")), binding

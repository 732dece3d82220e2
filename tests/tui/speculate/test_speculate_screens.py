"""How the Speculative tab looks, in every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from core.runs.state.events import Log
from core.speculate.lossless.result import SpeculateTestResult
from tests.tui.fakes import NOW, FakeServices
from tests.tui.speculate import made
from tests.tui.speculate.conftest import open_speculate, settle, until
from tui.app import LlmoptApp
from tui.experiment.names import LIVE, SETUP
from tui.speculate.pane import ADVICE, LOSSLESS, RESULTS, SIMULATOR

MakeApp = Callable[..., LlmoptApp]


@pytest.fixture(autouse=True)
def stated_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundled models stand in a folder of this name."""
    monkeypatch.setattr("core.speculate.advice.served_name", lambda name: name.replace("bundled:", "/opt/llmopt/bundled/"))


async def view(pilot: Pilot[None], name: str, *keys: str) -> None:
    pane = await open_speculate(pilot)
    await settle(pilot)
    pane.show_view(name)
    await settle(pilot)
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def test_the_tab_before_any_run(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, SETUP)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_a_draft_larger_than_the_target(snap_compare: Any, make_app: MakeApp) -> None:
    async def look(pilot: Pilot[None]) -> None:
        pane = await open_speculate(pilot)
        pane.prefill({"model": "bundled:draft", "draft": "bundled:base"})
        await until(pilot, lambda: "even with every draft accepted" in str(pane.form_view.fit.render()))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_a_form_with_mistakes(snap_compare: Any, make_app: MakeApp) -> None:
    async def look(pilot: Pilot[None]) -> None:
        pane = await open_speculate(pilot)
        pane.form_view.form.set_value("gamma", "0")
        pane.form_view.form.set_value("temperature", "-1")
        pane.form_view.form.focus_field("gamma")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


@pytest.mark.parametrize("drafter", ["lookup", "layers", "medusa"])
def test_the_fields_of_a_drafter(snap_compare: Any, make_app: MakeApp, drafter: str) -> None:
    async def look(pilot: Pilot[None]) -> None:
        pane = await open_speculate(pilot)
        pane.prefill({"drafter": drafter})
        await settle(pilot)
        pane.form_view.form.focus_field("drafter")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_a_text_as_it_comes(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    made.say(made.going(), Log(NOW - 15, "bundled:draft is taken as the draft model"))

    async def look(pilot: Pilot[None]) -> None:
        pane = await open_speculate(pilot)
        await until(pilot, lambda: pane.text_view.text.plain)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_the_rounds_one_a_line(snap_compare: Any, make_app: MakeApp) -> None:
    made.going()

    async def look(pilot: Pilot[None]) -> None:
        pane = await open_speculate(pilot)
        await until(pilot, lambda: pane.text_view.text.plain)
        await pilot.press("escape", "m")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_a_run_that_failed(snap_compare: Any, make_app: MakeApp) -> None:
    made.going(upto=6, status="failed", reason="the logits of step 41 are not finite: load the model in float32")

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, LIVE)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_results_beside_each_other(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    made.lookup()
    made.pair()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, RESULTS)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_acceptance_by_position(snap_compare: Any, make_app: MakeApp) -> None:
    made.pair()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, RESULTS, "m")

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_speedup_over_gamma(snap_compare: Any, make_app: MakeApp) -> None:
    made.pair()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, RESULTS, "m")

    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=look)


def test_all_settings_side_by_side(snap_compare: Any, make_app: MakeApp) -> None:
    made.lookup()
    made.pair()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, RESULTS, "m", "m")

    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=look)


def test_a_slowdown_that_was_measured(snap_compare: Any, make_app: MakeApp) -> None:
    difference = "prompt 3, token 17: plain ' x', speculative ' y'; their logits are 2.0e-06 apart"
    made.lookup(speedup=0.91, tokens_per_second=123.6, identical=False, first_difference=difference)

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, RESULTS)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_no_test_of_losslessness_yet(snap_compare: Any, make_app: MakeApp) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, LOSSLESS)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_nothing_was_lost(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    made.losslessness()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, LOSSLESS)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_something_was_lost(snap_compare: Any, make_app: MakeApp) -> None:
    found = made.measured("lossless", SpeculateTestResult).comparisons
    off = {"total_variation": 0.126, "chi_square": 4021.0, "p_value": 0.0, "passed": False}
    made.losslessness(lossless=False, total_variation=0.126, comparisons=(*(each.model_copy(update=off) for each in found[:2]), *found[2:]))

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, LOSSLESS)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_the_simulator(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, SIMULATOR)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_the_simulator_foretells_a_slowdown(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        pane = await open_speculate(pilot)
        pane.show_view(SIMULATOR)
        pane.simulator.fields.put({"cost_ratio": 0.4})
        await pilot.press("enter", "left")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_simulated_beside_measured(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    made.pair()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, RESULTS, "f6")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_the_simulators_chart_in_a_low_window(snap_compare: Any, make_app: MakeApp) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, SIMULATOR, "m")

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_the_engines_commands(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    made.pair()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, ADVICE, "enter", "down", "down", "down")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_what_no_engine_has(snap_compare: Any, make_app: MakeApp) -> None:
    async def look(pilot: Pilot[None]) -> None:
        pane = await open_speculate(pilot)
        pane.prefill({"drafter": "medusa"})
        pane.show_view(ADVICE)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_a_read_only_window(snap_compare: Any, make_app: MakeApp, services: FakeServices) -> None:
    services.read_only = True
    made.pair()

    async def look(pilot: Pilot[None]) -> None:
        await view(pilot, LOSSLESS)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)

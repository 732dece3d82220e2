"""What a person can do on the Benchmark tab, by keyboard alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.benchmark.spec import BenchmarkSpec
from tests.tui.benchmark import made
from tests.tui.benchmark.conftest import MakeApp, RecordingRuns, open_tab, settle, shown, until
from tests.tui.fakes import FakeServices
from tui.benchmark.pane import LIVE, RESULTS, SERVERS, SETUP, BenchmarkPane
from tui.confirm import Confirm


async def test_key_7_opens_the_tab_and_tells_what_will_be_started(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("7")
        await settle(pilot)
        pane = pilot.app.pane("benchmark")
        assert isinstance(pane, BenchmarkPane)
        assert pane.bar.active == SETUP
        assert "llmopt runtime 0.1.0" in shown(pilot)
        assert "engines.server --backend" in shown(pilot)


async def test_f5_starts_the_load_of_the_form_and_follows_it(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("thresholds", "ttft.p95 < 500ms, throughput > 30")
        await settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: pane.load_view.follower is not None)
        assert runs.started == [BenchmarkSpec(model="bundled:base", thresholds=("ttft.p95 < 500ms", "throughput > 30"))]
        assert pane.bar.active == LIVE


async def test_s_starts_a_server_and_x_stops_it_after_a_question(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, SERVERS)
        await pilot.press("s")
        await until(pilot, lambda: bool(runs.started) and pane.servers.chosen is not None)
        assert runs.started == [made.SERVER.model_copy(update={"threads": None})]
        assert pane.bar.active == SERVERS
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: bool(runs.cancelled))
        await until(pilot, lambda: pane.servers.chosen is not None and not pane.servers.chosen.going)
        assert "stopped" in shown(pilot)


async def test_u_puts_the_address_of_a_server_into_the_form(make_app: MakeApp) -> None:
    made.server()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, SERVERS)
        await until(pilot, lambda: pane.servers.chosen is not None and pane.servers.chosen.answers)
        await pilot.press("u")
        await settle(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == BenchmarkSpec(model="http://127.0.0.1:48901", engine="runtime")
        assert pane.forms.views["server"].form.values()["model"] == "bundled:base", "an address cannot be served"
        assert "nothing is" in shown(pilot)


async def test_nothing_is_started_in_read_only_mode(make_app: MakeApp, runs: RecordingRuns, services: FakeServices) -> None:
    services.read_only = True
    made.server()
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_tab(pilot, SERVERS)
        await pilot.press("f5", "s", "x")
        await settle(pilot)
        assert runs.started == []
        assert not isinstance(pilot.app.screen, Confirm)


async def test_y_copies_the_command_of_the_form(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_tab(pilot)
        await pilot.press("y")
        await settle(pilot)
        assert pilot.app.clipboard.startswith("PYTHONUNBUFFERED=1 /opt/llmopt/bin/python -m engines.server --backend runtime")


async def test_an_engine_that_is_missing_is_refused_before_anything_starts(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("engine", "vllm")
        await settle(pilot)
        await pilot.press("f5")
        await settle(pilot)
        assert runs.started == []
        assert "vLLM is not installed" in shown(pilot)


@pytest.mark.parametrize("columns", [60, 120])
async def test_every_view_is_reached_by_f4(make_app: MakeApp, columns: int) -> None:
    made.everything()
    async with make_app().run_test(size=(columns, 24)) as pilot:
        pane = await open_tab(pilot)
        seen = set()
        for _ in range(4):
            await pilot.press("f4")
            seen.add(pane.bar.active)
        assert seen >= {LIVE, RESULTS, SERVERS}


def test_every_action_can_be_found_in_the_palette() -> None:
    for binding in BenchmarkPane.BINDINGS:
        assert binding.id, binding
        assert binding.description, binding
        assert binding.tooltip, binding


def test_torch_never_comes_near_the_screen() -> None:
    code = "import sys, tui.benchmark.pane; assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

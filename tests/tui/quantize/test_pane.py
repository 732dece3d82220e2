"""What a person can do on the Quantize tab, by keyboard alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from core.evaluate.verify.spec import VerifySpec
from core.quantize.compare.spec import QuantizeCompareSpec
from core.quantize.plan.methods import FACTS
from core.quantize.spec import QuantizeSpec
from core.runs.state.events import Log
from core.runs.state.store import Run, list_runs
from core.spec import Spec
from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize import made
from tests.tui.quantize.conftest import open_quantize, settle, until
from tui.app import LlmoptApp
from tui.experiment.fit import FitPanel
from tui.quantize.pane import COMPARE, LIVE, PARETO, RESULTS, SETUP
from tui.quantize.results.artifact import ArtifactScreen
from tui.quantize.results.verify import VerifyScreen
from tui.services.live_runs import LiveRuns
from tui.shell.confirm import Confirm
from tui.widgets.chart.chart import Chart
from tui.widgets.form.model_picker import ModelPicker
from tui.widgets.form.table_picker import TablePicker

MakeApp = Callable[..., LlmoptApp]


class RecordingRuns(LiveRuns):
    """Starts nothing: remembers what should have been started or cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Spec] = []
        self.cancelled: list[str] = []
        self.resumed: list[str] = []
        self.gate = Event()
        self.gate.set()

    def start(self, spec: Spec) -> Run:
        self.gate.wait(5)
        self.started.append(spec)
        return made.run_of(spec, f"20260101-115959-{spec.capability}-000{len(self.started)}", created=NOW - 1)

    def resume(self, run: Run) -> Any:
        self.resumed.append(run.id)
        run.save_state(run.state.model_copy(update={"status": "running", "started": NOW - 1, "ended": None, "exit_reason": None, "resumed": NOW - 2}))
        return run.state

    def cancel(self, run: Run) -> Any:
        self.cancelled.append(run.id)
        run.save_state(run.state.model_copy(update={"status": "cancelled", "ended": NOW, "exit_reason": "cancelled"}))
        return run.state


@pytest.fixture
def runs(services: FakeServices) -> RecordingRuns:
    services.runs = RecordingRuns()
    return services.runs


def text_of(pilot: Pilot[None], selector: Any) -> str:
    return str(pilot.app.query_one(selector).render())


async def answer(pilot: Pilot[None], key: str, letter: str) -> None:
    """Press a key that asks, wait for the question, answer it, wait until it is gone."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, Confirm) and pilot.app.screen.focused is not None)
    await pilot.press(letter)
    await until(pilot, lambda: not isinstance(pilot.app.screen, Confirm))


async def test_the_form_stands_with_a_judgement_of_the_default_request(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == QuantizeSpec(model="bundled:base")
        judged = text_of(pilot, FitPanel)
        assert "bits a weight, 70 linears quantized" in judged
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
    start, runs.start = runs.start, lambda _: 1 / 0  # type: ignore[assignment]
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


async def test_a_run_that_goes_on_is_found_at_the_start(make_app: MakeApp) -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", created=NOW - 20)
    made.say(run, *made.layer_errors(12, NOW - 18))
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.query_one(DataTable).row_count == 12)
        assert pane.bar.active == LIVE
        head = text_of(pilot, ".live--head")
        assert "gptq 4 bit g128: bundled:base" in head
        assert "left" in head


async def test_errors_arrive_while_the_run_goes_on(make_app: MakeApp) -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", created=NOW - 20)
    said = made.layer_errors(20, NOW - 18)
    made.say(run, *said[:10])
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        table = pane.live.query_one(DataTable)
        await until(pilot, lambda: table.row_count == 5)
        made.say(run, *said[10:])
        await until(pilot, lambda: table.row_count == 20)
        assert table.cursor_row == 19


async def test_a_run_that_ends_shows_its_result(make_app: MakeApp) -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", created=NOW - 20)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.going)
        made.finish(run)
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW}))
        await until(pilot, lambda: pane.bar.active == RESULTS)
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.run_id == run.id


async def test_cancel_asks_first(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", created=NOW - 20)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.going)
        await answer(pilot, "f8", "n")
        await settle(pilot)
        assert runs.cancelled == []
        await answer(pilot, "f8", "y")
        await until(pilot, lambda: not pane.live.going)
        assert runs.cancelled == [run.id]
        assert "cancelled" in text_of(pilot, ".live--head")


async def test_a_stopped_run_goes_on_with_r(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", "cancelled", created=NOW - 20, reason="cancelled")
    made.say(run, *made.layer_errors(12, NOW - 18))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await pilot.press("escape", "f4")
        await settle(pilot)
        assert pane.bar.active == LIVE
        await pilot.press("r")
        await until(pilot, lambda: pane.live.going)
        assert runs.resumed == [run.id]
        await pilot.press("r")
        await settle(pilot)
        assert runs.resumed == [run.id], "what runs cannot be resumed"


async def test_a_run_that_goes_on_from_another_terminal_is_followed_again(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", "failed", created=NOW - 20, reason="killed by SIGKILL")
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.follower is not None)
        runs.resume(run)
        await until(pilot, lambda: pane.live.going)


async def test_a_run_without_a_checkpoint_kept_is_not_offered_to_go_on(make_app: MakeApp, runs: RecordingRuns) -> None:
    made.finish(made.run_of(made.spec(), "20260101-115900-quantize-0aaa", "done", created=NOW - 20))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(LIVE)
        await pilot.press("r")
        await settle(pilot)
        assert runs.resumed == []


async def test_a_dead_worker_is_shown_with_its_reason(make_app: MakeApp) -> None:
    run = made.run_of(made.spec(), "20260101-115900-quantize-0aaa", created=NOW - 20)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.going)
        run.save_state(run.state.model_copy(update={"status": "failed", "ended": NOW, "exit_reason": "killed by SIGKILL"}))
        await until(pilot, lambda: not pane.live.going)
        assert "failed after 20 s: killed by SIGKILL" in text_of(pilot, ".live--head")


def three_results(out: Path) -> list[Run]:
    finished = []
    for number, (method, bits) in enumerate((("rtn", 4), ("gptq", 4), ("gptq", 3))):
        run = made.run_of(made.spec(method=method, bits=bits), f"20260101-11000{number}-quantize-000{number}", "done", created=NOW - 3600 + number)
        finished.append(made.finish(run, checkpoint=str(out), bits_per_weight=bits + 1.3, kl_mean=(0.1 if method == "gptq" else 0.13) / bits))
    return finished


async def test_results_of_the_model_stand_beside_each_other_and_any_can_be_run_again(make_app: MakeApp, tmp_path: Path) -> None:
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        await pilot.press("escape", "f4", "f4")
        await settle(pilot)
        assert pane.bar.active == RESULTS
        assert pane.results.query_one(DataTable).row_count == 3
        await pilot.press("down", "down", "down")
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.recipe == "rtn 4 bit g128"
        await pilot.press("f7")
        await settle(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == made.spec(method="rtn", bits=4)


async def compare(pilot: Pilot[None], *keys: str) -> None:
    """F6, then keys in the table of what can be compared."""
    await pilot.press("f6")
    await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and pilot.app.screen.query_one(DataTable).row_count > 0)
    await settle(pilot)
    await pilot.press(*keys)
    await until(pilot, lambda: not isinstance(pilot.app.screen, TablePicker))


async def test_f6_compares_the_usual_quantizations_of_the_forms_model(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.prefill({"model": "/models/story-llama", "eval_tokens": 2048, "bits": 3})
        await compare(pilot, "escape")
        await settle(pilot)
        assert runs.started == []
        await compare(pilot, "enter")
        await until(pilot, lambda: bool(runs.started))
        assert runs.started == [QuantizeCompareSpec(model="/models/story-llama", eval_tokens=2048, calibration_samples=64)]


async def test_beside_fp8_the_comparison_of_floats_is_offered_first(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.prefill({"method": "fp8"})
        await compare(pilot, "enter")
        await until(pilot, lambda: bool(runs.started))
        assert runs.started == [QuantizeCompareSpec(model="bundled:base", set="floats", calibration_samples=64)]


async def test_a_comparison_that_does_not_fit_the_model_is_refused_before_the_start(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.prefill({"granularity": "channel", "group_size": 100})
        await compare(pilot, "enter")
        await settle(pilot)
        assert runs.started == [QuantizeCompareSpec(model="bundled:base", calibration_samples=64)], "a size that means nothing is not asked for"
        runs.started.clear()
        pane.prefill({"eval_tokens": 0})
        await compare(pilot, "enter")
        await settle(pilot)
        assert runs.started == []


async def test_the_method_is_chosen_from_a_table_and_brings_its_fields(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        form = pane.setup.form
        form.focus_field("method")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and pilot.app.screen.query_one(DataTable).row_count == len(FACTS))
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


async def test_all_runs_of_a_model_stand_on_one_frontier(make_app: MakeApp, tmp_path: Path) -> None:
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(PARETO)
        await settle(pilot)
        table = pane.pareto.query_one(DataTable)
        assert [str(table.get_row_at(row)[0]) for row in range(3)] == ["◆", "◆", "·"]
        await pilot.press("down", "down", "down")
        await settle(pilot)
        assert "beaten by gptq-w4-g128" in text_of(pilot, ".pareto--head")
        await pilot.press("m", "m")
        assert "perplexity ratio" in str(pane.pareto.chart.plot.title if pane.pareto.chart.plot else "")
        await pilot.press("m")
        assert pane.pareto.table.display, "after the last figure the table comes back, although it had the focus"
        await pilot.press("down", "enter")
        await settle(pilot)
        assert pane.bar.active == RESULTS
        assert pane.results.chosen is not None
        assert pane.results.chosen.recipe == "rtn 4 bit g128", "the cursor stayed on its run"


async def test_v_verifies_the_checkpoint_of_the_result(make_app: MakeApp, runs: RecordingRuns, tmp_path: Path) -> None:
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(pilot.app.screen, VerifyScreen))
        assert runs.started == [VerifySpec(model=str(tmp_path))]
        run = pilot.app.screen._run
        made.verified(run, "fail")
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW, "exit_code": 3}))
        await until(pilot, lambda: "not as it should be" in str(pilot.app.screen._text.render()))
        text = str(pilot.app.screen._text.render())
        assert "✗ failed" in text
        assert "zero points are inside the grid" in text
        await pilot.press("escape")
        await settle(pilot)
        assert pane.bar.active == RESULTS


async def test_a_row_of_the_comparison_can_be_carried_out(make_app: MakeApp) -> None:
    run = made.run_of(QuantizeCompareSpec(model="bundled:base"), "20260101-113000-quantize-compare-c0de", "done", created=NOW - 1800)
    made.compared(run)
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(COMPARE)
        await settle(pilot)
        assert len([chart for chart in pane.comparison.query(Chart) if chart.display]) == 4
        table = pane.comparison.query_one(DataTable)
        assert table.row_count == 7
        table.focus()
        await pilot.press("down", "down", "f7")
        await settle(pilot)
        spec = pane.setup.spec()
        assert spec is not None
        assert (spec.method, spec.bits, spec.granularity) == ("rtn", 4, "channel")
        assert pane.setup.display
        assert not pane.comparison.display, "the form comes back, and with it a view that stands beside it"


async def test_in_a_small_window_the_charts_of_the_comparison_take_turns(make_app: MakeApp) -> None:
    made.compared(made.run_of(QuantizeCompareSpec(model="bundled:base"), "20260101-113000-quantize-compare-c0de", "done", created=NOW - 1800))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(COMPARE)
        await settle(pilot)
        seen = []
        for _ in range(4):
            seen += [chart.plot.title for chart in pane.comparison.query(Chart) if chart.display and chart.plot]
            await pilot.press("m")
        assert seen == ["weights", "dequantized", "relative error at 8 bits", "memory"]


async def test_the_path_of_a_checkpoint_is_copied_and_its_files_are_shown(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 2048)
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_quantize(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        await pilot.press("y")
        assert pilot.app.clipboard == str(tmp_path)
        await pilot.press("o")
        await settle(pilot)
        assert isinstance(pilot.app.screen, ArtifactScreen)
        shown = str(pilot.app.screen._text.render())
        assert "2 KiB  model.safetensors" in shown.replace("2.00", "2").replace("2.0", "2")


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


async def test_escape_sequences_in_names_never_reach_the_screen(make_app: MakeApp, services: FakeServices, runs: RecordingRuns) -> None:
    nasty = "/models/\x1b[31mred\x07"
    services.models.names.append(nasty)
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_quantize(pilot)
        await pilot.press("f2")
        await settle(pilot)
        await pilot.press(*"red", "enter")
        await settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: bool(runs.started))
        assert runs.started[0].model == nasty
        made.say(list_runs()[0], Log(NOW, "said \x1b]0;title\x07"))
        await until(pilot, lambda: "said" in text_of(pilot, ".live--log"))
        strips = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
        assert not [line for line in strips if any(ord(character) < 32 for character in line)]
        assert any("[31mred" in line for line in strips)
        assert pane.live.going


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
async def test_every_view_is_reached_by_f4_at_any_width(make_app: MakeApp, columns: int) -> None:
    async with make_app().run_test(size=(columns, 24)) as pilot:
        pane = await open_quantize(pilot)
        seen = set()
        for _ in range(5):
            await pilot.press("f4")
            seen.add(pane.bar.active)
        assert seen >= {LIVE, RESULTS, PARETO, COMPARE}
        assert (SETUP in seen) == (columns < 110)


async def test_every_action_can_be_found_in_the_palette() -> None:
    from tui.quantize.pane import QuantizePane

    for binding in QuantizePane.BINDINGS:
        assert binding.id, binding
        assert binding.description, binding
        assert binding.tooltip, binding
        assert not {"ctrl+enter", "alt"} & set(binding.key.replace("+", ",").split(",")), binding

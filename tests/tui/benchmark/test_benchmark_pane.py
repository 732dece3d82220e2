"""What a user can do on the Benchmark tab, by keyboard alone."""

from __future__ import annotations

import pytest
from textual.widgets import DataTable

from core.benchmark.compare.spec import BenchmarkCompareSpec
from core.benchmark.spec import BenchmarkSpec
from core.engine import all_names
from core.runs.state.events import Detail, Log
from core.runs.state.files import write_json
from tests.tui.benchmark import made
from tests.tui.benchmark.conftest import MakeApp, RecordingRuns, open_tab, settle, shown, until
from tests.tui.fakes import NOW, FakeServices
from tests.tui.waiting import app_of
from tui.benchmark.pane import LIVE, MACHINE, RESULTS, SERVERS, SETUP, BenchmarkPane
from tui.experiment.setup import SetupView
from tui.shell.confirm import Confirm
from tui.widgets.form.table_picker import TablePicker


def described(pane: BenchmarkPane) -> str:
    """What is shown of the chosen result, without its line breaks."""
    return " ".join(str(pane.results._words.render()).split())


async def test_key_7_opens_the_tab_which_tells_what_will_be_started_and_y_copies_it(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("7")
        await settle(pilot)
        pane = app_of(pilot).pane("benchmark")
        assert isinstance(pane, BenchmarkPane)
        assert pane.bar.active == SETUP
        assert "llmopt runtime 0.1.0" in shown(pilot)
        assert "engines.server --backend" in shown(pilot)
        await pilot.press("y")
        await settle(pilot)
        assert pilot.app.clipboard.startswith("PYTHONUNBUFFERED=1 /opt/llmopt/bin/python -m engines.server --backend runtime")


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


async def test_a_form_that_is_checked_late_brings_no_other_model_back(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        for form in ("engines", "load"):
            pane.forms.choose(form)
            await settle(pilot)
        pane.setup.form.set_value("model", made.URL)
        await settle(pilot)
        pane.forms.views["engines"].post_message(SetupView.ModelChanged("bundled:base"))
        await settle(pilot)
        assert pane.setup.form.values()["model"] == made.URL


async def test_nothing_is_started_in_read_only_mode(make_app: MakeApp, runs: RecordingRuns, services: FakeServices) -> None:
    services.read_only = True
    made.server()
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_tab(pilot)
        assert "f5 Start" not in shown(pilot)
        assert "f2 Model" in shown(pilot)
        await open_tab(pilot, SERVERS)
        await pilot.press("f5", "s", "x")
        await settle(pilot)
        assert runs.started == []
        assert not isinstance(pilot.app.screen, Confirm)


async def test_an_engine_that_is_missing_is_refused_before_anything_starts(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("engine", "vllm")
        await settle(pilot)
        await pilot.press("f5")
        await settle(pilot)
        assert runs.started == []
        assert "vLLM is not installed" in shown(pilot)


async def test_f8_stops_the_load_that_is_shown_and_in_servers_the_server(make_app: MakeApp, runs: RecordingRuns) -> None:
    made.going(made.SPECS["runtime"], "20260101-115900-benchmark-4f1d")
    made.server()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, LIVE)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: runs.cancelled == ["20260101-115900-benchmark-4f1d"])
        await settle(pilot)
        pane.show_view(SERVERS)
        await until(pilot, lambda: pane.servers.chosen is not None and pane.servers.chosen.answers)
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "http://127.0.0.1:48901" in shown(pilot)
        await pilot.press("y")
        await until(pilot, lambda: runs.cancelled[1:] == ["20260101-115000-serve-0b01"])


async def test_a_server_that_runs_is_no_reason_to_ask_before_a_load(make_app: MakeApp, runs: RecordingRuns) -> None:
    made.server()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, LIVE)
        await pilot.press("f5")
        await until(pilot, lambda: bool(runs.started))
        await until(pilot, lambda: pane.load_view.going)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("escape")
        await settle(pilot)
        assert len(runs.started) == 1


async def test_the_cursor_chooses_the_server_that_is_told_of(make_app: MakeApp) -> None:
    made.server("20260101-113000-serve-0b02", "done", NOW - 1800)
    made.server()
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot, SERVERS)
        await until(pilot, lambda: len(pane.servers.rows) == 2)
        await pilot.press("y")
        assert pilot.app.clipboard == "http://127.0.0.1:48901"
        pane.servers.table.focus()
        await pilot.press("down")
        await until(pilot, lambda: pane.servers.follower is not None and pane.servers.follower.run.id == "20260101-113000-serve-0b02")
        await settle(pilot)
        assert "20260101-113000-serve-0b02" in shown(pilot)
        assert not pane.check_action("stop_server", ()), "it is stopped already"


async def test_a_server_that_answers_later_gets_its_address(make_app: MakeApp) -> None:
    run = made.going(made.SERVER, "20260101-115900-serve-4f1d")
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, SERVERS)
        await until(pilot, lambda: "starting" in shown(pilot))
        assert not pane.check_action("use_server", ())
        made.say(run, *made.told("server", NOW - 1))
        await until(pilot, lambda: pane.servers.chosen is not None and pane.servers.chosen.answers)
        await until(pilot, lambda: "127.0.0.1:48901" in shown(pilot))


async def test_a_load_that_ends_goes_over_into_the_results(make_app: MakeApp) -> None:
    run = made.going(made.SPECS["runtime"], "20260101-115900-benchmark-4f1d")
    made.say(run, *made.told("runtime", NOW - 1))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        assert pane.bar.active == LIVE
        made.write_result(run, made.result("runtime"))
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW}))
        await until(pilot, lambda: pane.bar.active == RESULTS)
        await until(pilot, lambda: pane.results.chosen is not None)
        assert pane.results.chosen.run.id == run.id


async def test_errors_are_shown_as_they_come(make_app: MakeApp) -> None:
    run = made.going(made.SPECS["failing"], "20260101-115900-benchmark-4f1d")
    said = made.told("failing", NOW - 1)
    made.say(run, *said[:1])
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        assert "CUDA out of memory" not in shown(pilot)
        made.say(run, *said[1:])
        await until(pilot, lambda: "CUDA out of memory" in shown(pilot))
        await until(pilot, lambda: "45 failed" in shown(pilot))
        await pilot.press("m")
        await until(pilot, lambda: "medians" in "".join(chart.plain for chart in pane.load_view.charts))


async def test_c_shows_every_load_and_f7_fills_the_form_as_it_was(make_app: MakeApp) -> None:
    made.everything()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, RESULTS)
        assert pane.results.table.row_count == 8, "three loads on the model, one of them a sweep of five levels"
        await pilot.press("c")
        await settle(pilot)
        assert pane.results.table.row_count == 9
        await pilot.press("down", "end")
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.entry.served_model == "toy"
        await pilot.press("f7")
        await settle(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == made.SPECS["failing"]


async def test_m_turns_to_words_and_charts_and_keeps_the_keys_working(make_app: MakeApp) -> None:
    made.everything()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, RESULTS)
        await pilot.press("down", "m")
        await settle(pilot)
        assert "throughput  164 token/s" in shown(pilot)
        titles = ("throughput against latency", "throughput, token/s", "time to first token, ms", "time to first token of 12 requests")
        for title in (*titles, "time per output token", "time between tokens", "end to end", "memory of the server"):
            await pilot.press("m")
            await settle(pilot)
            assert title in shown(pilot)
        await pilot.press("m")
        await settle(pilot)
        assert "TTFT p50" in shown(pilot)
        assert not pane.results.hides_table


async def test_v_turns_to_the_other_columns_and_brings_the_table_back(make_app: MakeApp) -> None:
    made.done("runtime")
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_tab(pilot, RESULTS)
        assert "TPOT p50 ITL p50" in shown(pilot)
        assert "throughput  " in shown(pilot), "words stand below a short table"
        await pilot.press("v")
        await settle(pilot)
        assert "weights" in shown(pilot)
        assert "TPOT p50 ITL p50" not in shown(pilot)
        await pilot.press("m")
        await settle(pilot)
        assert "weights     ppl" not in shown(pilot)
        await pilot.press("v")
        await settle(pilot)
        assert "weights     ppl" in shown(pilot)


async def test_a_row_is_set_against_the_reference_beyond_noise(make_app: MakeApp) -> None:
    made.everything()
    async with make_app().run_test(size=(120, 50)) as pilot:
        pane = await open_tab(pilot, RESULTS)
        await pilot.press("down", "down")
        await until(pilot, lambda: "against a llmopt runtime" in described(pane))
        assert "worse, beyond noise" in described(pane)
        await pilot.press("b")
        await settle(pilot)
        assert pane.results.reference is not None
        assert pane.results.reference.entry.engine == "Transformers"
        assert "against a" not in described(pane)
        await pilot.press("up")
        await until(pilot, lambda: "against b Transformers" in described(pane))
        assert "better, beyond noise" in described(pane)


async def test_thresholds_may_have_blanks_and_a_wrong_one_is_refused_with_its_sentence(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.focus_field("thresholds")
        await settle(pilot)
        await pilot.press(*"speed > 3")
        await settle(pilot)
        assert "names no metric" in shown(pilot)
        await pilot.press("escape", "f5")
        await settle(pilot)
        assert runs.started == []


async def test_a_key_that_is_not_set_is_refused_before_anything_is_sent(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_values({"model": "https://models.example", "key_env": "NO_SUCH_KEY"})
        await settle(pilot)
        assert "NO_SUCH_KEY" in shown(pilot)
        await pilot.press("f5")
        await settle(pilot)
        assert runs.started == []


async def test_engines_are_chosen_from_a_table_that_tells_which_are_installed(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.focus_field("engine")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and pilot.app.screen.query_one(DataTable).row_count == len(all_names()))
        await settle(pilot)
        text = shown(pilot)
        assert "missing" in text
        assert "5.23.0" in text
        await pilot.press("down", "down", "down", "enter")
        await settle(pilot)
        assert pane.setup.form.values()["engine"] in all_names()


async def test_f5_in_the_form_of_engines_starts_a_comparison_and_f7_asks_for_it_again(make_app: MakeApp, runs: RecordingRuns) -> None:
    made.done("runtime")
    made.comparison()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, RESULTS)
        assert [entry.title for _, entry in pane.results.table.items] == ["transformers", "runtime", "llmopt runtime"]
        await pilot.press("f7")
        await settle(pilot)
        assert pane.forms.chosen == "engines"
        assert "is skipped: vLLM is not installed" in shown(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: bool(runs.started))
        assert runs.started == [BenchmarkCompareSpec(**made.MODEL, **made.LOAD)]
        await until(pilot, lambda: "comparison of engines: bundled:base" in shown(pilot))


async def test_results_of_another_version_are_left_out(make_app: MakeApp) -> None:
    run = made.done("runtime")
    write_json(run.path / "result.json", {"schema": "llmopt.benchmark/99", "entries": "none"})
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_tab(pilot, RESULTS)
        assert "No finished load" in shown(pilot)


async def test_escape_sequences_of_servers_never_reach_the_screen(make_app: MakeApp) -> None:
    nasty = "\x1b[31mred\x07"
    result = made.measured("failing")
    result["entries"][0] |= {"name": nasty, "engine": nasty, "command": nasty, "served_model": nasty, "warnings": [nasty]}
    result["entries"][0]["errors"] = [{"status": "failed", "reason": nasty, "count": 3}]
    result["thresholds"] = [{"expression": nasty, "value": 1.0, "unit": nasty, "passed": False, "words": nasty}]
    made.done("failing", **result)
    going = made.going(made.SPECS["runtime"], "20260101-115900-benchmark-4f1d")
    made.say(going, Log(NOW - 2, f"request 1: {nasty}"), *made.told("runtime", NOW - 1))
    server = made.going(made.SERVER, "20260101-115900-serve-4f1d")
    ready = dict.fromkeys(("url", "model", "engine", "version", "command"), nasty)
    made.say(server, Detail(NOW - 1, "ready", ready | {"pid": 1}))
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot, RESULTS)
        await pilot.press("c")
        for view in (RESULTS, LIVE, SERVERS):
            pane.show_view(view)
            await settle(pilot)
            lines = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
            assert "red" in "".join(lines)
            assert not [line for line in lines if any(ord(character) < 32 for character in line)]


@pytest.mark.parametrize("columns", [60, 120])
async def test_f4_goes_through_the_views_and_f6_through_the_forms(make_app: MakeApp, columns: int) -> None:
    made.everything()
    async with make_app().run_test(size=(columns, 24)) as pilot:
        pane = await open_tab(pilot)
        seen = set()
        for _ in range(5):
            await pilot.press("f4")
            seen.add(pane.bar.active)
        assert seen >= {LIVE, RESULTS, SERVERS, MACHINE}
        pane.show_view(SERVERS)
        pane.show_view(LIVE)
        await settle(pilot)
        chosen = list(pane.forms.views)
        assert pane.forms.chosen == chosen[0]
        for name in (*chosen[1:], chosen[0]):
            await pilot.press("f6")
            await settle(pilot)
            assert pane.forms.chosen == name
        for view, form in ((SERVERS, "server"), (MACHINE, "machine"), (LIVE, chosen[0])):
            pane.show_view(view)
            await settle(pilot)
            assert pane.forms.chosen == form, "servers and the machine have their own"


def test_every_action_can_be_found_in_the_palette() -> None:
    for binding in BenchmarkPane.BINDINGS:
        assert binding.id, binding
        assert binding.description, binding
        assert binding.tooltip, binding

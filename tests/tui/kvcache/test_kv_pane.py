"""What a user can do on the KV-cache tab, by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.pages.spec import PagesSpec
from core.kvcache.spec import KvCacheSpec
from core.kvcache.why.spec import KvCacheWhySpec
from core.runs.state.events import Metric, Progress
from core.runs.state.files import write_json
from core.runs.state.store import list_runs
from tests.tui.fakes import NOW, FakeServices
from tests.tui.kvcache import made
from tests.tui.kvcache.conftest import RecordingRuns, open_tab, settle, shown, until
from tests.tui.waiting import app_of
from tui.app import LlmoptApp
from tui.experiment.fit import FitPanel
from tui.kvcache.fit.view import FitView
from tui.kvcache.pane import CHART, FIT, LIVE, PAGES, SETUP, TABLE, WHY, KvCachePane
from tui.shell.confirm import Confirm
from tui.widgets.form.field_grid import FieldGrid
from tui.widgets.form.mark_picker import MarkPicker

MakeApp = Callable[..., LlmoptApp]
FIVE = ("dynamic", "int8", "kivi-4", "streaming", "h2o")


def foreseen(pilot: Pilot[None]) -> str:
    return "\n".join(str(panel.render()) for panel in pilot.app.screen.query(FitPanel) if panel.is_on_screen)


async def test_key_5_opens_the_tab_with_the_form_and_what_a_run_will_take(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("5")
        await settle(pilot)
        pane = app_of(pilot).pane("kv-cache")
        assert isinstance(pane, KvCachePane)
        assert pane.bar.active == SETUP
        assert "cache 40.0 MiB when full" in foreseen(pilot) or "MiB when full" in foreseen(pilot)
        assert "6.0 GiB free" in foreseen(pilot)


async def test_f5_starts_the_schemes_of_the_form_and_follows_the_run(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("schemes", FIVE)
        await settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: pane.live.follower is not None)
        assert runs.started == [KvCacheSpec(model="bundled:base", schemes=FIVE)]
        assert pane.bar.active == LIVE
        await until(pilot, lambda: "5 cache schemes: bundled:base" in shown(pilot))


async def test_the_experiment_at_the_top_of_the_form_decides_what_f5_starts(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup._row.editor.as_widget().focus()
        await pilot.press("right")
        await settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: bool(runs.started) and pane.bar.active == WHY)
        assert runs.started == [KvCacheWhySpec(model="bundled:base")]
        pane.show_view(PAGES)
        await settle(pilot)
        pane.setup.form.set_value("mode", "simulate")
        await settle(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: len(runs.started) == 2 and pane.pages.simulation.follower is not None)
        assert runs.started[1] == PagesSpec(model="bundled:base", mode="simulate")
        assert pane.pages.has_class("-simulate")


async def test_f6_goes_through_the_experiments_wherever_the_focus_is(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, TABLE)
        seen = []
        for _ in range(3):
            await pilot.press("f6", "down")
            await settle(pilot)
            focused = pilot.app.focused
            assert pane.bar.active == SETUP
            assert focused is not None
            assert pane.setup.current in focused.ancestors
            seen.append(pane.setup.chosen)
        assert seen == ["why", "pages", "schemes"]


async def test_a_key_for_each_of_why_pages_and_the_calculator(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        for key, view in (("w", WHY), ("p", PAGES), ("k", FIT)):
            await pilot.press("escape", key)
            assert pane.bar.active == view


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
async def test_every_view_is_reached_by_f4_at_any_width(make_app: MakeApp, columns: int) -> None:
    async with make_app().run_test(size=(columns, 24)) as pilot:
        pane = await open_tab(pilot)
        seen = set()
        for _ in range(7):
            await pilot.press("f4")
            seen.add(pane.bar.active)
        assert seen >= {LIVE, TABLE, CHART, WHY, PAGES, FIT}
        assert (SETUP in seen) == (columns < 110)


async def test_schemes_are_marked_in_a_table_that_tells_what_each_keeps(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.focus_field("schemes")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MarkPicker) and pilot.app.screen.query_one(DataTable).row_count == len(SCHEMES))
        await settle(pilot)
        await pilot.press("a", "a", "space", "down", "down", "space", "enter")
        await settle(pilot)
        assert pane.setup.form.values()["schemes"] == ("dynamic", "paged")
        assert not pane.setup.form.rows["residual"].display, "no KIVI is asked for, so nothing reads its residual window"
        pane.setup.form.focus_field("schemes")
        await pilot.press("delete")
        await settle(pilot)
        assert pane.setup.spec() == KvCacheSpec(model="bundled:base")


async def test_the_picker_leaves_everything_as_it_was_after_esc(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.focus_field("schemes")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MarkPicker) and pilot.app.screen.query_one(DataTable).row_count > 0)
        await pilot.press("a", "escape")
        await settle(pilot)
        assert pane.setup.spec() == KvCacheSpec(model="bundled:base")


async def test_no_scheme_at_all_is_a_mistake_that_the_form_tells(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("schemes", ())
        await settle(pilot)
        await pilot.press("escape", "f5")
        await settle(pilot)
        assert runs.started == []
        assert "schemes" in pane.setup.form.problems


async def test_a_context_beyond_the_models_is_refused_before_anything_starts(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("context", 4096)
        await until(pilot, lambda: "4096 tokens exceed the 1024 positions" in foreseen(pilot))
        await pilot.press("escape", "f5")
        await until(pilot, lambda: len(pilot.app._notifications) > 0)
        assert runs.started == []


async def test_the_model_is_the_same_in_all_forms(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        pane.setup.form.set_value("model", "/models/story-llama")
        await until(pilot, lambda: all(view.form.values()["model"] == "/models/story-llama" for view in pane.setup.views.values()))
        await settle(pilot)
        assert pane.calculator._model == "/models/story-llama"


async def test_a_run_that_goes_on_is_found_and_its_rows_arrive(make_app: MakeApp) -> None:
    run = made.going(KvCacheSpec(model="bundled:base"), "20260101-115900-kv-cache-00aa")
    made.say(run, *made.told("schemes", NOW - 50))
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot)
        await until(pilot, lambda: pane.schemes._table.row_count == 6)
        assert pane.bar.active == LIVE
        plot = pane.schemes._chart.plot
        assert plot is not None
        assert [series.label for series in plot.series] == ["static", "paged", "int8", "int4", "fp8-e4m3"]
        await pilot.press("m")
        assert pane.schemes._chart.plot is not None
        assert pane.schemes._chart.plot.title == "perplexity so far"
        made.say(run, Progress(NOW - 1, 90, 100, "h2o"), *(Metric(NOW, name, 1.5, 0, "h2o") for name in ("bytes_per_token", "ppl_ratio")))
        await until(pilot, lambda: pane.schemes._table.row_count == 7)


async def test_a_run_that_ends_goes_over_into_the_table(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: pane.live.follower is not None)
        run = list_runs()[0]
        made.finish(run, made.schemes())
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW}))
        await until(pilot, lambda: pane.bar.active == TABLE and pane.table.table.row_count == 13)


async def test_f8_stops_the_run_after_a_question(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = made.going(KvCacheWhySpec(model="bundled:base"), "20260101-115900-kv-cache-why-00aa")
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        assert pane.bar.active == WHY
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: runs.cancelled == [run.id])
        await until(pilot, lambda: "cancelled" in shown(pilot))


async def test_nothing_can_be_started_or_stopped_in_read_only_mode(make_app: MakeApp, runs: RecordingRuns, services: FakeServices) -> None:
    services.read_only = True
    made.going(KvCacheSpec(model="bundled:base"), "20260101-115900-kv-cache-00aa")
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot)
        await pilot.press("f5", "f8")
        await settle(pilot)
        assert (runs.started, runs.cancelled) == ([], [])
        assert not isinstance(pilot.app.screen, Confirm)
        assert pane.live.going


async def test_runs_of_a_model_stand_in_one_table_and_one_of_them_alone(make_app: MakeApp) -> None:
    made.schemes_done()
    made.schemes_done("20260101-115000-kv-cache-0a02", threads=8)
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot, TABLE)
        assert pane.table.table.row_count == 14
        await pilot.press("c")
        await settle(pilot)
        assert pane.table.table.row_count == 28
        entries = [entry for _, entry in pane.table.table.items]
        assert [entry.row.name for entry in entries[:4]] == ["dynamic", "dynamic", "static", "static"]
        assert [entry.elsewhere for entry in entries[:2]] == [False, True], "another number of threads"
        await pilot.press("down", "down", "enter")
        await settle(pilot)
        assert pane.table.table.row_count == 14
        assert {entry.found.run.id for _, entry in pane.table.table.items} == {"20260101-110000-kv-cache-0a01"}


async def test_f7_fills_the_form_of_the_experiment_that_is_shown(make_app: MakeApp) -> None:
    made.everything()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, PAGES)
        await pilot.press("f7")
        await settle(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.chosen == "pages"
        assert isinstance(pane.setup.spec(), PagesSpec)
        pane.show_view(TABLE)
        await settle(pilot)
        await pilot.press("f7")
        await settle(pilot)
        assert pane.setup.spec() == KvCacheSpec(model="bundled:base")


async def test_pages_and_simulation_take_turns_in_a_low_window(make_app: MakeApp) -> None:
    made.everything()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, PAGES)
        await until(pilot, lambda: "identical to contiguous caches'" in shown(pilot))
        assert "nothing was measured" not in shown(pilot)
        await pilot.press("m")
        await settle(pilot)
        assert "simulation, nothing was measured" in shown(pilot)
        assert pane.pages.has_class("-simulate")


async def test_the_blocks_change_as_the_decode_goes_on(make_app: MakeApp) -> None:
    run = made.going(PagesSpec(model="bundled:base"), "20260101-115900-kv-cache-pages-00aa")
    said = made.told("pages", NOW - 50)
    made.say(run, said[0])
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot)
        assert pane.bar.active == PAGES
        await until(pilot, lambda: pane.pages.decode.follower.progress.event is not None)
        before = pane.pages.decode._grid.plain
        made.say(run, *said[1:])
        await until(pilot, lambda: pane.pages.decode._grid.plain != before)
        assert "block table" not in before
        assert "running" in pane.pages.decode._sequences.plain


async def test_the_calculator_answers_at_once_and_says_what_is_wrong(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot, FIT)
        view = pane.query_one(FitView)
        await until(pilot, lambda: view.table.row_count == len(SCHEMES))
        assert "bundled:base on CPU of the test, 8.0 GiB" in shown(pilot)
        view.query_one(FieldGrid).focus_first()
        await pilot.press("right")
        await until(pilot, lambda: "tinyllama-1.1b on CPU of the test" in shown(pilot))
        await pilot.press("left", "tab", "right")
        await until(pilot, lambda: "bundled:base on B200" in shown(pilot))
        editor = view.fields.editors["context"].as_widget()
        editor.focus()
        await pilot.press(*"9999")
        await until(pilot, lambda: "9,999 tokens is more than the 1,024" in shown(pilot))
        await pilot.press(*["backspace"] * 4)
        await until(pilot, lambda: "is more than" not in shown(pilot))
        await pilot.press("x")
        await until(pilot, lambda: "not a whole number" in shown(pilot))


async def test_the_grid_follows_the_scheme_under_the_cursor(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot, FIT)
        await until(pilot, lambda: "dynamic: bytes of the cache" in shown(pilot))
        pane.calculator.table.focus()
        await pilot.press("down", "down", "down")
        await until(pilot, lambda: "int8: bytes of the cache" in shown(pilot))


async def test_results_of_another_version_are_left_out(make_app: MakeApp) -> None:
    run = made.schemes_done()
    write_json(run.path / "result.json", {"schema": "llmopt.kv-cache/99", "rows": "none"})
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_tab(pilot, TABLE)
        assert "No comparison of cache schemes" in shown(pilot)


async def test_escape_sequences_in_results_never_reach_the_screen(make_app: MakeApp) -> None:
    nasty = "\x1b[31mred\x07"
    result, pages = made.schemes(), made.pages()
    bad = result.rows[1].model_copy(update={"refused": nasty, "title": nasty})
    result = result.model_copy(update={"rows": (result.rows[0], bad, *result.rows[2:])})
    made.done(KvCacheSpec(model="bundled:base"), "20260101-110000-kv-cache-0a01", result)
    pages = pages.model_copy(update={"notes": (nasty,), "rows": (pages.rows[0].model_copy(update={"text": nasty}), *pages.rows[1:])})
    made.done(PagesSpec(model="bundled:base"), "20260101-112000-kv-cache-pages-0c01", pages)
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_tab(pilot, TABLE)
        for view in (TABLE, CHART, PAGES):
            pane.show_view(view)
            await settle(pilot)
            lines = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
            assert not [line for line in lines if any(ord(character) < 32 for character in line)]


async def test_a_run_of_another_tab_changes_nothing_here(make_app: MakeApp, services: FakeServices) -> None:
    made.everything()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_tab(pilot, CHART)
        made.going(KvCacheSpec(model="/models/story-llama"), "20260101-115959-kv-cache-00bb")
        pane.find_runs()
        await settle(pilot)
        assert pane.bar.active == LIVE, "a run of this tab that begins elsewhere is brought to the front"
        pane.show_view(CHART)
        pane.find_runs()
        await settle(pilot)
        assert pane.bar.active == CHART, "but once only"


async def test_every_action_can_be_found_in_the_palette() -> None:
    for binding in KvCachePane.BINDINGS:
        assert binding.id, binding
        assert binding.description, binding
        assert binding.tooltip, binding
        assert not {"ctrl+enter", "alt"} & set(binding.key.replace("+", ",").split(",")), binding

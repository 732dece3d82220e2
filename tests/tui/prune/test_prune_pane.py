"""What starts from the Prune tab, what is refused, what is followed, and the way around its views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import DataTable

from core.evaluate.verify.spec import VerifySpec
from core.prune.methods import METHODS
from core.prune.spec import PruneSpec
from tests.tui.compression.panes import assert_every_action_can_be_found, assert_f4_reaches_every_view
from tests.tui.fakes import NOW, FakeServices
from tests.tui.prune import made
from tests.tui.prune.conftest import answer, open_prune, settle, text_of, until
from tests.tui.quantize import made as quantized
from tests.tui.quantize.made import run_of, say
from tests.tui.recording import RecordingRuns
from tui.app import LlmoptApp
from tui.compression.artifact import ArtifactScreen
from tui.compression.verify import VerifyScreen
from tui.experiment.fit import FitPanel
from tui.prune.pane import LIVE, PARETO, RESULTS, SETUP, PrunePane
from tui.quantize.pane import QuantizePane
from tui.widgets.form.table_picker import TablePicker

MakeApp = Callable[..., LlmoptApp]


def three_results(out: Path) -> None:
    for number, values in enumerate(({"method": "magnitude"}, {}, {"method": "sparsegpt", "keep": "2:4"})):
        run = run_of(made.spec(**values), f"20260101-11000{number}-prune-000{number}", "done", created=NOW - 3600 + number)
        made.finish(run, checkpoint=str(out), kl_mean=0.5 - 0.1 * number, parts={"linears": made.linears(before=1.2)})


async def test_4_opens_the_tab_with_a_judgement_of_the_default_request(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("4")
        await settle(pilot)
        assert isinstance(pilot.app, LlmoptApp)
        pane = pilot.app.pane("prune")
        assert isinstance(pane, PrunePane)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == PruneSpec(model="bundled:base")
        judged = text_of(pilot, FitPanel)
        assert "weights become zero and stay in the file" in judged
        assert "zeros bring none on a CPU" in judged
        assert "6.0 GiB free" in judged


async def test_a_pattern_says_what_is_kept(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.setup.form.set_value("keep", "1:4")
        await until(pilot, lambda: "1:4 keeps 1 of every 4 weights" in text_of(pilot, FitPanel))
        assert not pane.setup.form.rows["sparsity"].display, "the pattern fixes it"
        pane.setup.form.set_value("keep", "2:7")
        await until(pilot, lambda: "rows of a multiple of 7" in text_of(pilot, FitPanel))


async def test_the_method_is_chosen_from_a_table_and_brings_its_fields(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.setup.form.focus_field("method")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TablePicker) and pilot.app.screen.query_one(DataTable).row_count == len(METHODS))
        await settle(pilot)
        await pilot.press("home", "enter")
        await settle(pilot)
        assert pane.setup.spec() == PruneSpec(model="bundled:base", method="magnitude", sparsity=0.3)


async def test_f5_starts_what_the_form_says_and_shows_it_live(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.setup.form.set_value("sparsity", 0.6)
        await pilot.press("f5")
        await until(pilot, lambda: pane.live.going)
        assert runs.started == [PruneSpec(model="bundled:base", sparsity=0.6)]
        assert pane.bar.active == LIVE


async def test_read_only_starts_nothing(make_app: MakeApp, services: FakeServices, runs: RecordingRuns) -> None:
    services.read_only = True
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_prune(pilot)
        await pilot.press("f5", "f6")
        await settle(pilot)
        assert runs.started == []


async def test_linears_fill_the_map_and_the_result_follows(make_app: MakeApp) -> None:
    run = run_of(made.spec(), "20260101-115900-prune-0aaa", created=NOW - 20)
    said = made.linear_errors(20, NOW - 18)
    say(run, *said[:15])
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        live = pane.lives["prune"]
        await until(pilot, lambda: "5 of 70" in live.map.plain)  # type: ignore[attr-defined]
        assert pane.bar.active == LIVE
        say(run, *said[15:])
        await until(pilot, lambda: "20 of 70" in live.map.plain)  # type: ignore[attr-defined]
        made.finish(run)
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW}))
        await until(pilot, lambda: pane.bar.active == RESULTS)
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.run_id == run.id


async def test_a_model_that_is_gone_shows_what_has_come(make_app: MakeApp) -> None:
    run = run_of(made.spec(model="/models/gone"), "20260101-115900-prune-0aaa", created=NOW - 20)
    say(run, *made.linear_errors(9, NOW - 18))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        await until(pilot, lambda: "9 of 14" in pane.lives["prune"].map.plain)  # type: ignore[attr-defined]


async def test_cancel_asks_first_and_says_what_is_kept(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = run_of(made.spec(), "20260101-115900-prune-0aaa", created=NOW - 20)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        await until(pilot, lambda: pane.live.going)
        await answer(pilot, "f8", "n")
        assert runs.cancelled == []
        await answer(pilot, "f8", "y")
        await until(pilot, lambda: not pane.live.going)
        assert runs.cancelled == [run.id]
        assert "r resumes it" in text_of(pilot, ".live--head")


async def test_results_stand_beside_each_other_with_their_pictures(make_app: MakeApp, tmp_path: Path) -> None:
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        table = pane.results.query_one(DataTable)
        assert [str(table.get_row_at(row)[0]) for row in range(3)] == ["sparsegpt 2:4", "wanda 50 %", "magnitude 30 %"]
        await pilot.press("down", "down", "down")
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.recipe == "magnitude 30 %"
        seen = []
        for _ in range(4):
            await pilot.press("m")
            await settle(pilot)
            seen.append("table" if table.display else "lines" if pane.results.has_class("-lines") else "chart")
        assert seen == ["chart", "lines", "lines", "table"]
        await pilot.press("f7")
        await settle(pilot)
        assert pane.bar.active == SETUP
        assert pane.setup.spec() == made.spec(method="magnitude")


async def test_lines_that_do_not_fit_are_scrolled_to_and_leave_the_keys_alone(make_app: MakeApp, tmp_path: Path) -> None:
    three_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        await pilot.press("m", "m")
        await settle(pilot)
        pane.focus()
        await pilot.press("enter")
        await settle(pilot)
        lines = pane.results.lines  # type: ignore[attr-defined]
        assert pilot.app.focused is lines
        await pilot.press("end")
        await settle(pilot)
        assert lines.scroll_y > 0
        await pilot.press("m", "m")
        await settle(pilot)
        assert pane.results.query_one(DataTable).display
        await pilot.press("f4")
        assert pane.bar.active == PARETO, "the keys of the tab still work"


async def test_the_checkpoint_is_verified_copied_and_listed(make_app: MakeApp, runs: RecordingRuns, services: FakeServices, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 2048)
    three_results(tmp_path)
    services.models.names.append(str(tmp_path))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        assert not pane.check_action("verify", ())
        pane.show_view(RESULTS)
        await settle(pilot)
        await pilot.press("y")
        assert pilot.app.clipboard == str(tmp_path)
        await pilot.press("o")
        await settle(pilot)
        assert isinstance(pilot.app.screen, ArtifactScreen)
        await pilot.press("escape", "v")
        await until(pilot, lambda: isinstance(pilot.app.screen, VerifyScreen))
        assert runs.started == [VerifySpec(model=str(tmp_path))]


async def test_prunings_and_quantizations_stand_on_one_front_and_each_opens_in_its_tab(make_app: MakeApp, tmp_path: Path) -> None:
    three_results(tmp_path)
    quantized.finish(run_of(quantized.spec(bits=4), "20260101-100000-quantize-0000", "done", created=NOW - 7200), bits_per_weight=5.3)
    quantized.finish(run_of(quantized.spec(bits=3), "20260101-100001-quantize-0001", "done", created=NOW - 7200), bits_per_weight=4.3)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.show_view(PARETO)
        await settle(pilot)
        table = pane.pareto.query_one(DataTable)
        assert [str(table.get_row_at(row)[1]) for row in range(5)] == ["gptq-w3-g128", "gptq-w4-g128", "sparsegpt-2of4", "wanda-s50", "magnitude-s30"]
        assert pane.pareto.values() is None, "the form of this tab cannot ask for a quantization"
        await pilot.press("m", "m", "m")
        await pilot.press("down", "down", "enter")
        await settle(pilot)
        app = pilot.app
        assert isinstance(app, LlmoptApp)
        other = app.pane("quantize")
        assert isinstance(other, QuantizePane)
        assert app.open_tab == "quantize"
        await until(pilot, lambda: other.results.chosen is not None)
        await settle(pilot)
        assert other.results.chosen is not None
        assert other.results.chosen.run_id == "20260101-100000-quantize-0000"
        app.open_pane("prune")
        await settle(pilot)
        pane.show_view(PARETO)
        await pilot.press("down", "down", "down", "enter")
        await settle(pilot)
        assert pane.bar.active == RESULTS


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
async def test_every_view_is_reached_by_f4_at_any_width(make_app: MakeApp, columns: int) -> None:
    await assert_f4_reaches_every_view(make_app, "prune", PrunePane, columns)


def test_every_action_can_be_found_in_the_palette() -> None:
    assert_every_action_can_be_found(PrunePane, "prune")

"""What starts from the Distill tab, what is refused, what is followed, and the way around its views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import DataTable

from core.distill.compare.spec import PROGRAMS, DistillCompareSpec
from core.distill.spec import DistillSpec
from tests.tui.compression.panes import assert_every_action_can_be_found, assert_f4_reaches_every_view
from tests.tui.distill import made
from tests.tui.distill.conftest import answer, open_distill, settle, text_of, until
from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize.made import run_of, say
from tests.tui.recording import RecordingRuns
from tui.app import LlmoptApp
from tui.distill.pane import COMPARE, LIVE, RESULTS, DistillPane
from tui.experiment.fit import FitPanel

MakeApp = Callable[..., LlmoptApp]


def two_results(out: Path) -> None:
    for number, values in enumerate(({"alpha": 0.0}, {})):
        made.finish(
            run_of(made.spec(**values), f"20260101-11000{number}-distill-000{number}", "done", created=NOW - 3600 + number), checkpoint=str(out)
        )


async def test_3_opens_the_tab_with_a_forecast_of_the_default_request(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("3")
        await settle(pilot)
        assert isinstance(pilot.app, LlmoptApp)
        pane = pilot.app.pane("distill")
        assert isinstance(pane, DistillPane)
        assert pane.setup.spec() == DistillSpec(model="bundled:base")
        judged = text_of(pilot, FitPanel)
        assert "of the teacher's" in judged
        assert "6.0 GiB free" in judged
        assert "614,400 tokens in 300 steps: forward-kl" in judged


async def test_fields_that_mean_nothing_are_away(make_app: MakeApp) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)

        def seen(name: str) -> bool:
            row = pane.setup.form.rows[name]
            return row.is_attached and row.display

        assert [name for name in ("layers", "divergence", "temperature", "feature_weight") if seen(name)] == ["layers", "divergence", "temperature"]
        pane.prefill({"student": "/models/story-llama", "alpha": 0.0, "features": "hidden"})
        await settle(pilot)
        assert [name for name in ("layers", "divergence", "temperature", "feature_weight") if seen(name)] == ["feature_weight"]


async def test_f5_starts_what_the_form_says_and_shows_it_live(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)
        pane.setup.form.set_value("layers", 1)
        await pilot.press("f5")
        await until(pilot, lambda: pane.live.going)
        assert runs.started == [DistillSpec(model="bundled:base", layers=1)]
        assert pane.bar.active == LIVE


async def test_what_the_command_line_refuses_is_refused_here_in_the_same_words(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)
        pane.setup.form.set_value("layers", 500)
        await until(pilot, lambda: "layers 500 leaves nothing out" in text_of(pilot, FitPanel))
        await pilot.press("f5")
        await settle(pilot)
        assert runs.started == []


async def test_read_only_starts_nothing(make_app: MakeApp, services: FakeServices, runs: RecordingRuns) -> None:
    services.read_only = True
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_distill(pilot)
        await pilot.press("f5", "f6")
        await settle(pilot)
        assert runs.started == []


async def test_f6_compares_ways_to_learn_on_the_forms_student(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)
        pane.prefill({"layers": 1, "steps": 40})
        await settle(pilot)
        await pilot.press("f6")
        await until(pilot, lambda: bool(runs.started))
        assert runs.started == [DistillCompareSpec(model="bundled:base", layers=1, steps=40)]


async def test_a_training_is_followed_and_its_result_shown(make_app: MakeApp) -> None:
    run = run_of(made.spec(), "20260101-115900-distill-0aaa", created=NOW - 120)
    said = made.training(70, NOW - 110)
    say(run, *said[:40])
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)
        live = pane.lives["distill"]
        await until(pilot, lambda: "step 0" in live.gap.plain)  # type: ignore[attr-defined]
        assert pane.bar.active == LIVE
        say(run, *said[40:])
        await until(pilot, lambda: "step 60" in live.gap.plain)  # type: ignore[attr-defined]
        made.finish(run)
        run.save_state(run.state.model_copy(update={"status": "done", "ended": NOW}))
        await until(pilot, lambda: pane.bar.active == RESULTS)
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.run_id == run.id


async def test_cancel_asks_first_and_says_what_is_kept(make_app: MakeApp, runs: RecordingRuns) -> None:
    run = run_of(made.spec(), "20260101-115900-distill-0aaa", created=NOW - 20)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)
        await until(pilot, lambda: pane.live.going)
        await answer(pilot, "f8", "n")
        assert runs.cancelled == []
        await answer(pilot, "f8", "y")
        await until(pilot, lambda: not pane.live.going)
        assert runs.cancelled == [run.id]
        assert "r resumes it" in text_of(pilot, ".live--head")


async def test_e_ends_a_training_early(make_app: MakeApp) -> None:
    run = run_of(made.spec(), "20260101-115900-distill-0aaa", created=NOW - 120)
    say(run, *made.training(40, NOW - 110))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)
        await until(pilot, lambda: pane.live.going)
        assert pane.check_action("finish", ())
        await pilot.press("e")
        await until(pilot, run.finish_file.exists)
        await until(pilot, lambda: not pane.check_action("finish", ()))
        assert [note.title for note in pilot.app._notifications] == ["Training ends"]


async def test_results_stand_beside_each_other_and_fill_the_form(make_app: MakeApp, tmp_path: Path) -> None:
    two_results(tmp_path)
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_distill(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        table = pane.results.query_one(DataTable)
        assert [str(table.get_row_at(row)[0]) for row in range(2)] == ["7 blocks, forward-kl", "7 blocks, cross-entropy"]
        await pilot.press("down", "down")
        await settle(pilot)
        assert pane.results.chosen is not None
        assert pane.results.chosen.recipe == "7 blocks, cross-entropy"
        await pilot.press("y")
        assert pilot.app.clipboard == str(tmp_path)
        await pilot.press("f7")
        await settle(pilot)
        assert pane.setup.spec() == made.spec(alpha=0.0)


async def test_a_row_of_the_comparison_fills_the_form(make_app: MakeApp) -> None:
    made.compared(run_of(DistillCompareSpec(model="bundled:base", layers=7), "20260101-113000-distill-compare-c0de", "done", created=NOW - 1800))
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_distill(pilot)
        pane.show_view(COMPARE)
        await settle(pilot)
        assert pane.comparison.table.row_count == len(PROGRAMS)
        await pilot.press("down", "down", "down", "down", "f7")
        await settle(pilot)
        spec = pane.setup.spec()
        assert isinstance(spec, DistillSpec)
        assert (spec.layers, spec.features, spec.steps) == (7, "hidden", 100)


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
async def test_every_view_is_reached_by_f4_at_any_width(make_app: MakeApp, columns: int) -> None:
    await assert_f4_reaches_every_view(make_app, "distill", DistillPane, columns)


def test_every_action_can_be_found_in_the_palette() -> None:
    assert_every_action_can_be_found(DistillPane, "distill")

"""The comparison of prunings: asked for, drawn, followed, and a row of it carried out."""

from __future__ import annotations

from collections.abc import Callable

from core.prune.compare.spec import PruneCompareSpec
from core.prune.spec import PruneSpec
from core.runs.state.store import Run
from core.spec import narrowed
from tests.tui.fakes import NOW
from tests.tui.prune import made
from tests.tui.prune.conftest import open_prune, settle, until
from tests.tui.quantize.made import run_of, say
from tests.tui.recording import RecordingRuns
from tui.app import LlmoptApp
from tui.prune.pane import COMPARE, PARETO, SETUP
from tui.widgets.chart.chart import Chart

MakeApp = Callable[..., LlmoptApp]


def finished() -> Run:
    return made.compared(run_of(PruneCompareSpec(model="bundled:base"), "20260101-113000-prune-compare-c0de", "done", created=NOW - 1800))


async def test_f6_compares_the_usual_prunings_of_the_forms_model(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.prefill({"model": "/models/story-llama", "eval_tokens": 2048})
        await settle(pilot)
        await pilot.press("f6")
        await until(pilot, lambda: bool(runs.started))
        assert runs.started == [PruneCompareSpec(model="/models/story-llama", eval_tokens=2048, calibration_samples=64, speed_tokens=64)]


async def test_a_comparison_without_an_evaluation_is_refused_before_the_start(make_app: MakeApp, runs: RecordingRuns) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.prefill({"eval_tokens": 0})
        await settle(pilot)
        await pilot.press("f6")
        await settle(pilot)
        assert runs.started == []
        assert [note.severity for note in pilot.app._notifications] == ["error"]


def test_a_comparison_keeps_model_texts_and_samples_of_the_form() -> None:
    asked = narrowed(made.spec(method="alps", sparsity=0.7, calibration_samples=8, seed=7), PruneCompareSpec)
    assert asked == PruneCompareSpec(model="bundled:base", calibration_samples=8, speed_tokens=64, seed=7)


async def test_every_pruning_is_listed_and_any_can_be_carried_out(make_app: MakeApp) -> None:
    run = finished()
    asked = run.spec
    assert isinstance(asked, PruneCompareSpec)
    async with make_app().run_test(size=(120, 36)) as pilot:
        pane = await open_prune(pilot)
        pane.show_view(COMPARE)
        await settle(pilot)
        assert len([chart for chart in pane.comparison.query(Chart) if chart.display]) == 4
        table = pane.comparison.table
        assert table.row_count == len(asked.variants)
        assert not pane.setup.display, "the comparison takes the whole width"
        await pilot.press("down", "down", "down", "down", "f7")
        await settle(pilot)
        spec = pane.setup.spec()
        assert isinstance(spec, PruneSpec)
        assert (spec.method, spec.keep) == ("wanda", "2:4")
        assert pane.setup.display


async def test_in_a_small_window_the_charts_of_the_comparison_take_turns(make_app: MakeApp) -> None:
    finished()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.show_view(COMPARE)
        await settle(pilot)
        seen = []
        for _ in range(4):
            seen += [chart.plot.title for chart in pane.comparison.query(Chart) if chart.display and chart.plot]
            await pilot.press("m")
        assert seen == ["KL divergence", "decode speed-up, measured", "size", "prefill speed-up, measured"]


async def test_rows_of_a_comparison_are_hollow_on_the_front_and_open_it(make_app: MakeApp) -> None:
    finished()
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        pane.show_view(PARETO)
        await settle(pilot)
        assert {str(pane.pareto.table.get_row_at(row)[0]) for row in range(pane.pareto.table.row_count)} == {"○"}
        assert pane.pareto.values() is None
        await pilot.press("down", "enter")
        await settle(pilot)
        assert pane.bar.active == COMPARE


async def test_each_pruning_of_a_comparison_fills_the_map_anew(make_app: MakeApp) -> None:
    run = run_of(PruneCompareSpec(model="bundled:base"), "20260101-115900-prune-compare-0aaa", created=NOW - 20)
    say(run, *made.linear_errors(70, NOW - 18), *made.linear_errors(9, NOW - 2))
    async with make_app().run_test(size=(80, 24)) as pilot:
        pane = await open_prune(pilot)
        live = pane.lives["prune"]
        await until(pilot, lambda: "9 of 70" in live.map.plain)  # type: ignore[attr-defined]
        say(run, *made.without_blocks(4, NOW - 1))
        await until(pilot, lambda: "4 of 10" in live.map.plain)  # type: ignore[attr-defined]
        assert pane.bar.active != SETUP

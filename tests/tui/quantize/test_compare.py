"""The comparison of quantizations: asked for, drawn, and a row of it carried out."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot
from textual.widgets import DataTable

from core.quantize.compare.spec import QuantizeCompareSpec
from tests.tui.fakes import NOW
from tests.tui.quantize import made
from tests.tui.quantize.conftest import RecordingRuns, open_quantize, settle, until
from tui.app import LlmoptApp
from tui.quantize.pane import COMPARE
from tui.widgets.chart.chart import Chart
from tui.widgets.form.table_picker import TablePicker

MakeApp = Callable[..., LlmoptApp]


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
        assert not pane.comparison.display, "the form comes back, and with it a view next to it"


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

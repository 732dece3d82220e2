"""How the Quantize tab looks, in every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from core.evaluate.verify.spec import VerifySpec
from core.quantize.compare.spec import QuantizeCompareSpec
from core.runs.state.events import Log, Metric
from tests.tui.fakes import NOW
from tests.tui.quantize import made
from tests.tui.quantize.conftest import open_quantize, settle, until
from tui.app import LlmoptApp
from tui.compression.verify import VerifyScreen
from tui.quantize.pane import COMPARE, PARETO, RESULTS

MakeApp = Callable[..., LlmoptApp]
RUNNING = "20260101-115940-quantize-4f1d"


def running() -> None:
    run = made.run_of(made.spec(), RUNNING, created=NOW - 20)
    made.say(run, *made.layer_errors(45, NOW - 18))
    made.say(run, Log(NOW - 15, "calibration: python-stdlib/train, 64 sequences of 512 tokens"), Metric(NOW - 16, "ppl_before", 12.34, 0, ""))


def finished() -> None:
    rows = (
        ("rtn", 8, "channel", 12.36, 0.0009, 0.985, 8.61),
        ("rtn", 4, "channel", 13.91, 0.0913, 0.872, 4.62),
        ("rtn", 4, "group", 13.02, 0.0311, 0.921, 5.31),
        ("gptq", 3, "group", 13.84, 0.0846, 0.881, 4.38),
        ("gptq", 4, "group", 12.61, 0.0123, 0.9412, 5.31),
    )
    for number, (method, bits, granularity, ppl, kl, top1, width) in enumerate(rows):
        asked = made.spec(method=method, bits=bits, granularity=granularity)
        run = made.run_of(asked, f"20260101-1100{number:02}-quantize-00a{number}", "done", created=NOW - 3600 + 30 * number)
        figures = {"ppl_after": ppl, "ppl_ratio": ppl / 12.34, "kl_mean": kl, "top1_agreement": top1, "bits_per_weight": width}
        made.finish(run, **figures, bytes_after=int(width * 868_000), checkpoint=f"/home/ada/models/base-{method}-w{bits}")  # type: ignore[arg-type]


async def at_rest(pilot: Pilot[None]) -> None:
    await open_quantize(pilot)


def test_the_tab_before_any_run(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=at_rest)


def test_a_form_with_a_mistake(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def mistake(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.setup.form.focus_field("bits")
        await pilot.press("backspace", "9")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=mistake)


def test_a_request_that_does_not_fit(snap_compare: Any, make_app: MakeApp) -> None:
    async def misfit(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.setup.form.set_value("group_size", 100)
        await until(pilot, lambda: "divide" in str(pane.setup.fit.render()))

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=misfit)


def test_the_picker(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def pick(pilot: Pilot[None]) -> None:
        await open_quantize(pilot)
        await pilot.press("f2")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=pick)


def test_a_run_in_progress(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    running()

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.query_one(DataTable).row_count == 45)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=live)


def test_the_result_beside_earlier_ones(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    finished()

    async def results(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=results)


def test_the_errors_of_a_result_in_a_low_window(snap_compare: Any, make_app: MakeApp) -> None:
    finished()

    async def chart(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        await pilot.press("m")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=chart)


def test_the_methods(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def pick(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.setup.form.focus_field("method")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.query(DataTable).first().row_count > 0)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=pick)


def test_the_levels_of_gguf(snap_compare: Any, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.setenv("LLMOPT_LLAMA_PYTHON", "/usr/bin/python3")

    async def pick(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.prefill({"method": "gguf"})
        await settle(pilot)
        pane.setup.form.focus_field("level")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.query(DataTable).first().row_count > 0)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=pick)


@pytest.mark.parametrize("method", ["fp8", "mixed", "additive", "gguf"])
def test_the_fields_of_a_method(snap_compare: Any, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setenv("LLMOPT_LLAMA_PYTHON", "/usr/bin/python3")

    async def choose(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.prefill({"method": method})
        await settle(pilot)
        pane.setup.form.focus_field("method")
        await until(pilot, lambda: "estimate" in str(pane.setup.fit.render()))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=choose)


def test_a_combination_that_does_not_go_together(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    async def choose(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.setup.form.set_value("method", "awq")
        pane.setup.form.set_value("bits", 3)
        pane.setup.form.set_value("format", "awq")
        pane.setup.form.focus_field("format")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=choose)


def test_sensitivities_as_they_are_measured(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    run = made.run_of(made.spec(method="mixed", budget=3.5), RUNNING, created=NOW - 20)
    made.say(run, *made.sensitivities(24, NOW - 18))

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        await until(pilot, lambda: pane.live.query_one(DataTable).row_count == 24)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=live)


def test_the_bits_of_a_mixed_quantization(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    run = made.run_of(made.spec(method="mixed", budget=3.5), "20260101-110000-quantize-00a0", "done", created=NOW - 3600)
    made.finish(run, layers=made.mixed_layers())

    async def results(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.show_view(RESULTS)
        await settle(pilot)
        if size[1] < 30:
            await pilot.press("m")
            await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=results)


def test_all_runs_of_a_model(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    finished()
    made.finish(
        made.run_of(made.spec(method="mixed", budget=3.5), "20260101-110100-quantize-00b0", "done", created=NOW), kl_mean=0.02, bits_per_weight=4.5
    )

    async def all_runs(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.show_view(PARETO)
        await settle(pilot)
        await pilot.press("down", "down", "down")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=all_runs)


def test_the_frontier_in_a_low_window(snap_compare: Any, make_app: MakeApp) -> None:
    finished()

    async def chart(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.show_view(PARETO)
        await settle(pilot)
        await pilot.press("m")
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=chart)


def test_a_stopped_run(snap_compare: Any, make_app: MakeApp) -> None:
    run = made.run_of(made.spec(), RUNNING, "cancelled", created=NOW - 40, reason="cancelled")
    made.say(run, *made.layer_errors(45, NOW - 38))

    async def live(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        await pilot.press("escape", "f4")
        await until(pilot, lambda: pane.live.query_one(DataTable).row_count == 45)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=live)


def test_a_verification_that_found_something(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    run = made.run_of(VerifySpec(model="/models/base-gptq-w4"), "20260101-110000-verify-00a0", "done", created=NOW - 60)
    made.verified(run, "fail")

    async def show(pilot: Pilot[None]) -> None:
        await open_quantize(pilot)
        pilot.app.push_screen(VerifyScreen(run))
        await until(pilot, lambda: "faulty" in "".join(str(each.render()) for each in pilot.app.screen.query(Static)))
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=show)


def test_the_comparison(snap_compare: Any, make_app: MakeApp, size: tuple[int, int]) -> None:
    run = made.run_of(QuantizeCompareSpec(model="bundled:base"), "20260101-113000-quantize-compare-c0de", "done", created=NOW - 1800, seconds=41.2)
    made.compared(run)

    async def compare(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.show_view(COMPARE)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=compare)


def test_the_comparison_of_floats(snap_compare: Any, make_app: MakeApp) -> None:
    asked = QuantizeCompareSpec(model="bundled:base", set="floats")
    made.compared(made.run_of(asked, "20260101-113000-quantize-compare-c0de", "done", created=NOW - 1800, seconds=41.2))

    async def compare(pilot: Pilot[None]) -> None:
        pane = await open_quantize(pilot)
        pane.show_view(COMPARE)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(120, 36), run_before=compare)


def test_what_can_be_compared(snap_compare: Any, make_app: MakeApp) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        await open_quantize(pilot)
        await pilot.press("f6")
        await until(pilot, lambda: pilot.app.screen.query(DataTable) and pilot.app.screen.query(DataTable).first().row_count == 2)
        await settle(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=ask)

"""A quantization that runs, as the Quantize tab follows it."""

from __future__ import annotations

from collections.abc import Callable

from textual.widgets import DataTable

from core.runs.state.events import Log
from core.runs.state.store import list_runs
from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize import made
from tests.tui.quantize.conftest import RecordingRuns, answer, open_quantize, settle, text_of, until
from tui.app import LlmoptApp
from tui.quantize.pane import LIVE, RESULTS

MakeApp = Callable[..., LlmoptApp]


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

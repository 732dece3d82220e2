"""The Runs screen: every run, filter, follow, cancel, compare, copy, run again, delete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Log, Static

from core.models.resolve import resolve
from tests.tui.fakes import FakeServices, write_run
from tests.tui.shell.test_shell import FirstPane, SecondPane, settle
from tests.tui.waiting import app_of, until
from tui.app import LlmoptApp
from tui.runs.screen import RunsScreen
from tui.services.live_runs import LiveRuns
from tui.shell.confirm import Confirm
from tui.shell.panes import PaneEntry

MakeApp = Callable[..., LlmoptApp]
DONE, OTHER, BROKEN, GOING = (
    "20260101-115000-quantize-d0d0",
    "20260101-114000-quantize-0101",
    "20260101-113000-evaluate-bad0",
    "20260101-115500-quantize-aaaa",
)


@pytest.fixture(autouse=True)
def panes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small panes in place of the real ones."""
    monkeypatch.setattr(PaneEntry, "load", lambda self: {"hardware": FirstPane, "quantize": SecondPane}[self.id])


@pytest.fixture
def fixed_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home whose path is the same on every machine, for pictures that show it."""
    home = Path("/tmp") / f"llmopt-{request.node.name}"
    shutil.rmtree(home, ignore_errors=True)
    monkeypatch.setenv("LLMOPT_HOME", str(home))
    yield
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def runs() -> None:
    """One run in every state."""
    gptq = {"method": "gptq", "bits": 4, "granularity": "group", "group_size": 128, "seed": 0}
    figures = {"ppl_before": 6.31, "ppl_after": 6.42, "ppl_ratio": 1.0174, "kl_mean": 0.0121, "bits_per_weight": 4.25, "bytes_after": 5_300_000}
    write_run(
        DONE,
        spec=gptq,
        result={"metrics": figures},
        events=(
            {"type": "log", "text": "read the model"},
            {"type": "metric", "name": "layer_error", "value": 0.031, "step": 1, "label": "model.layers.0.mlp.up_proj"},
            {"type": "metric", "name": "layer_error", "value": 0.027, "step": 2, "label": "model.layers.0.mlp.down_proj"},
            {"type": "artifact", "path": "/data/out/base-gptq", "kind": "checkpoint"},
        ),
    )
    write_run(
        OTHER, spec=gptq | {"method": "rtn", "bits": 3}, result={"metrics": figures | {"ppl_ratio": 1.41, "ppl_after": 8.9, "bits_per_weight": 3.25}}
    )
    write_run(BROKEN, status="failed", exit_reason="killed by SIGKILL (perhaps out of memory)")
    progress = {"done": 21, "total": 84, "label": "model.layers.2.mlp"}
    write_run(GOING, status="running", spec=gptq | {"bits": 8}, host="elsewhere", progress=progress, events=({"type": "log", "text": "working"},))


async def open_runs(pilot: Pilot[None]) -> None:
    await settle(pilot)
    await pilot.press("ctrl+r")
    await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
    await rest(pilot)


async def rest(pilot: Pilot[None]) -> None:
    """Until the screen of runs shows what was asked of it, three looks in a row."""
    for _ in range(3):
        await until(pilot, lambda: screen(pilot).is_settled)


async def told(pilot: Pilot[None], selector: str) -> str:
    """What a text of the screen on top says, as soon as it says something."""
    await until(pilot, lambda: pilot.app.screen.query(selector) and str(pilot.app.screen.query_one(selector, Static).render()))
    return str(pilot.app.screen.query_one(selector, Static).render())


def screen(pilot: Pilot[None]) -> RunsScreen:
    assert isinstance(pilot.app.screen, RunsScreen)
    return pilot.app.screen


def shown(pilot: Pilot[None]) -> list[str]:
    return [row.id for row in screen(pilot)._shown]


async def go_to(pilot: Pilot[None], run_id: str) -> None:
    screen(pilot)._table.move_cursor(row=shown(pilot).index(run_id))
    await pilot.pause()
    await rest(pilot)


async def test_all_runs_are_listed_newest_first(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        assert shown(pilot) == [GOING, DONE, OTHER, BROKEN]
        assert screen(pilot)._rows[0].status == "● running 25%"


@pytest.mark.parametrize(("words", "left"), [("rtn", [OTHER]), ("failed", [BROKEN]), ("GPTQ 4 bit", [DONE]), ("nothing-like-it", [])])
async def test_the_filter_keeps_runs_that_contain_every_word(make_app: MakeApp, runs: None, words: str, left: list[str]) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await pilot.press("slash")
        screen(pilot).query_one("#runs-filter", Input).value = words
        await pilot.pause()
        await rest(pilot)
        assert shown(pilot) == left


async def test_the_details_say_what_was_asked_measured_and_made(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, DONE)
        text = str(screen(pilot).query_one("#runs-words", Static).render())
        for words in ("done", "perplexity ratio", "1.0174", "group-size", "/data/out/base-gptq"):
            assert words in text


async def test_a_failed_run_shows_its_reason(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, BROKEN)
        assert "killed by SIGKILL" in str(screen(pilot).query_one("#runs-words", Static).render())


async def test_following_shows_the_latest_figures_and_the_log(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, DONE)
        await pilot.press("enter")
        assert "0.027" in await told(pilot, "#follow-table")
        assert "made checkpoint: /data/out/base-gptq" in list(pilot.app.screen.query_one(Log).lines)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, RunsScreen)


async def test_two_runs_are_compared_with_the_better_one_named(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, OTHER)
        await pilot.press("space")
        await go_to(pilot, DONE)
        await pilot.press("equals_sign")
        text = await told(pilot, "#compare-words")
        assert "rtn" in text
        assert "gptq" in text
        (ratio,) = [line for line in text.splitlines() if line.startswith("perplexity ratio")]
        assert ratio.split()[-1] == "better"


async def test_copying_gives_the_newest_artifact_to_the_terminal(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, DONE)
        await pilot.press("y")
        await until(pilot, lambda: pilot.app.clipboard)
        assert pilot.app.clipboard == "/data/out/base-gptq"


async def test_again_fills_in_the_tab_of_the_capability(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, OTHER)
        await pilot.press("a")
        await settle(pilot)
        assert app_of(pilot).open_tab == "quantize"
        pane = app_of(pilot).pane("quantize")
        assert isinstance(pane, SecondPane)
        assert pane.prefilled is not None
        assert (pane.prefilled["method"], pane.prefilled["bits"]) == ("rtn", 3)


class CancelledOnes(LiveRuns):
    """Notes what was cancelled."""

    def __init__(self) -> None:
        super().__init__(resolve)
        self.cancelled: list[str] = []

    def cancel(self, run: Any) -> Any:
        self.cancelled.append(run.id)
        return run.state


@pytest.mark.parametrize(("answer", "cancelled"), [("y", [GOING]), ("n", []), ("escape", []), ("enter", [])])
async def test_cancelling_asks_first_and_enter_is_no(
    make_app: MakeApp, services: FakeServices, runs: None, answer: str, cancelled: list[str]
) -> None:
    services.runs = CancelledOnes()
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, GOING)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm) and pilot.app.screen.focused is not None)
        await pilot.press(answer)
        await pilot.app.workers.wait_for_complete()
        assert services.runs.cancelled == cancelled


async def test_read_only_refuses_to_cancel_and_to_delete(make_app: MakeApp, services: FakeServices, runs: None) -> None:
    services.runs, services.read_only = CancelledOnes(), True
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, GOING)
        await pilot.press("x", "y", "d", "y")
        await pilot.app.workers.wait_for_complete()
        assert services.runs.cancelled == []
        assert GOING in shown(pilot)


async def test_a_stopped_run_goes_on_and_a_done_one_says_why_not(make_app: MakeApp, services: FakeServices, runs: None) -> None:
    class Resuming(LiveRuns):
        resumed: ClassVar[list[str]] = []

        def resume(self, run: Any) -> Any:
            if run.state.status == "done":
                return super().resume(run)
            self.resumed.append(run.id)
            return run.state

    services.runs = Resuming(services.find)
    write_run("20260101-115600-quantize-0ddd", status="cancelled", exit_reason="cancelled")
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, "20260101-115600-quantize-0ddd")
        await pilot.press("r")
        await pilot.app.workers.wait_for_complete()
        assert services.runs.resumed == ["20260101-115600-quantize-0ddd"]
        await go_to(pilot, DONE)
        await pilot.press("r")
        await pilot.app.workers.wait_for_complete()
        assert [note.message for note in pilot.app._notifications if "nothing is left to resume" in note.message]


async def test_a_run_that_goes_on_is_read_again(make_app: MakeApp, runs: None) -> None:
    folder = write_run("20260101-115600-quantize-0ddd", status="cancelled", exit_reason="cancelled")
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        assert screen(pilot)._rows[0].state.status == "cancelled"
        state = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps(state | {"status": "running", "host": "elsewhere", "ended": None, "exit_reason": None}))
        await until(pilot, lambda: screen(pilot)._rows[0].state.status == "running")


async def test_deleting_removes_the_folder_after_a_question(make_app: MakeApp, runs: None, llmopt_home: Any) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await go_to(pilot, BROKEN)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm) and pilot.app.screen.focused is not None)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen) and BROKEN not in shown(pilot))
        assert shown(pilot) == [GOING, DONE, OTHER]
        assert not (llmopt_home / "runs" / BROKEN).exists()


async def test_a_run_with_escape_sequences_everywhere_cannot_disturb_the_screen(make_app: MakeApp) -> None:
    evil = "\x1b]0;owned\x07[red]\x1b[2J"
    write_run(
        "20260101-115000-quantize-e111", status="failed", spec={"model": evil, "method": evil}, exit_reason=evil, result={"metrics": {evil: 1.0}}
    )
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        text = "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
        assert "\x1b" not in text
        assert "[red]" in text


async def test_esc_leads_back_to_the_tabs(make_app: MakeApp, runs: None) -> None:
    async with make_app().run_test(size=(120, 36)) as pilot:
        await open_runs(pilot)
        await pilot.press("slash", "q", "escape", "escape")
        assert len(pilot.app.screen_stack) == 1


def test_the_runs(snap_compare: Any, make_app: MakeApp, fixed_home: None, runs: None, size: tuple[int, int]) -> None:
    async def prepare(pilot: Pilot[None]) -> None:
        await open_runs(pilot)
        await go_to(pilot, DONE)
        await pilot.press("space")

    assert snap_compare(make_app(), terminal_size=size, run_before=prepare)


def test_no_runs_yet(snap_compare: Any, make_app: MakeApp) -> None:
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=open_runs)


def test_the_comparison(snap_compare: Any, make_app: MakeApp, fixed_home: None, runs: None, size: tuple[int, int]) -> None:
    async def prepare(pilot: Pilot[None]) -> None:
        await open_runs(pilot)
        await go_to(pilot, OTHER)
        await pilot.press("space")
        await go_to(pilot, DONE)
        await pilot.press("equals_sign")
        await told(pilot, "#compare-words")

    assert snap_compare(make_app(), terminal_size=size, run_before=prepare)


def test_following(snap_compare: Any, make_app: MakeApp, fixed_home: None, runs: None, size: tuple[int, int]) -> None:
    async def prepare(pilot: Pilot[None]) -> None:
        await open_runs(pilot)
        await go_to(pilot, GOING)
        await pilot.press("enter")
        await told(pilot, "#follow-head")
        await until(pilot, lambda: "working" in list(pilot.app.screen.query_one(Log).lines))

    assert snap_compare(make_app(), terminal_size=size, run_before=prepare)

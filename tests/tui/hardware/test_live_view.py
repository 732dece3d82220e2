"""The live view at work: what it repaints, where its cursor goes, what it ends and what it refuses to end."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from core.hardware.snapshot import ProcessState
from tests.tui.fakes import FakeServices
from tests.tui.hardware.conftest import opened
from tests.tui.waiting import until
from tui.app import LlmoptApp
from tui.hardware.ending import Means, describe, next_means
from tui.shell.confirm import Confirm
from tui.widgets.live import LiveLines
from tui.widgets.table.live_table import LiveTable

OnMachine = Callable[..., LlmoptApp]
SMALL = (80, 24)


async def test_the_focus_begins_on_the_gpus_and_the_cursor_chooses_the_details(on_machine: OnMachine):
    async with on_machine("eight").run_test(size=SMALL) as pilot:
        pane = await opened(pilot)
        table = pane.query_one("#gpus", LiveTable)
        assert table.has_focus
        await pilot.press("down", "down", "down")
        await pilot.pause()
        assert table.cursor == 3
        assert pane.query_one("#gpu-facts", LiveLines).plain.startswith("GPU 3 NVIDIA H100")


async def test_without_a_gpu_the_processes_have_the_focus_and_one_line_says_why(on_machine: OnMachine):
    async with on_machine("none").run_test(size=(120, 36)) as pilot:
        pane = await opened(pilot)
        assert pane.query_one("#processes", LiveTable).has_focus
        assert not pane.query_one("#gpus").display
        problem = pane.query_one("#problem", LiveLines).plain
        assert problem.startswith("No GPUs: no NVIDIA driver library")
        assert "\n" not in problem


async def test_a_reading_repaints_only_cells_and_lays_nothing_out(on_machine: OnMachine, services: FakeServices, monkeypatch):
    async with on_machine("eight").run_test(size=(120, 36)) as pilot:
        pane = await opened(pilot)
        painted, laid_out = list[Any](), list[Any]()
        refresh = LiveLines.refresh

        def watched(self, *regions, layout=False, **options):
            painted.extend((self.id, region) for region in regions)
            laid_out.append(layout or not regions)
            return refresh(self, *regions, layout=layout, **options)

        monkeypatch.setattr(LiveLines, "refresh", watched)
        services.sampler.sample()
        pane.live.tick()
        await pilot.pause()
        assert painted
        assert not any(laid_out)
        assert all(region.height == 1 for _, region in painted)
        idle_gpu = [region for widget, region in painted if widget == "gpus" and region.y == 8]
        assert sum(region.width for region in idle_gpu) < 60
        painted.clear()
        pane.live.tick()
        await pilot.pause()
        assert painted == []


async def test_a_hidden_view_does_nothing(on_machine: OnMachine, services: FakeServices):
    async with on_machine("one").run_test(size=SMALL) as pilot:
        pane = await opened(pilot)
        before = pane.live.shown
        await pane.open_view("Fit")
        await pilot.pause()
        services.sampler.sample()
        pane.live.tick()
        assert pane.live.shown is before
        await pane.open_view("Live")
        await pilot.pause()
        assert pane.live.shown is services.sampler.latest


async def test_a_sampler_that_cannot_read_says_why(make_app, services: FakeServices):
    services.sampler.problem = "the machine could not be sampled: OSError: broken"
    services.sampler._latest = None
    async with make_app().run_test(size=SMALL) as pilot:
        for _ in range(100):
            await pilot.pause(0.02)
            lines = list(pilot.app.query("#problem").results(LiveLines))
            if lines and "broken" in lines[0].plain:
                return
    raise AssertionError("the problem was not shown")


@pytest.fixture
def victim() -> Iterator[ProcessState]:
    """A process of this test's own, shown as if it held GPU memory of nobody."""
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    child.stdout.readline()
    started = psutil.Process(child.pid).create_time()
    yield ProcessState(child.pid, "run", started=started, owner="ada", command="python -c sleep", ours=True, run="20260101-000000-quantize-beef")
    child.kill()
    child.wait()


def alone(services: FakeServices, process: ProcessState) -> None:
    services.sampler._latest = dataclasses.replace(services.sampler.latest, processes=(process,))


def said(pilot, words):
    return lambda: any(words in note.message for note in pilot.app._notifications)


async def test_a_process_is_asked_to_end_first_and_killed_only_when_it_stays(on_machine, services, victim):
    app = on_machine("none")
    alone(services, dataclasses.replace(victim, run=None, ours=False))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("x", "y")
        await until(pilot, said(pilot, "was asked to end"))
        assert psutil.Process(victim.pid).is_running(), "it ignores SIGTERM"
        await pilot.press("x", "y")
        await until(pilot, said(pilot, "was killed"))
    assert psutil.Process(victim.pid).wait(timeout=5) in (-signal.SIGKILL, None)


async def test_no_habit_of_moving_around_ends_a_process(on_machine, services, victim):
    app = on_machine("none")
    alone(services, victim)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press(*"kkjjhlGgdd", "K", "t", "ctrl+d", "ctrl+u", "k", "enter", "k", "k", "t")
        await pilot.pause()
        if isinstance(app.screen, Confirm):
            await pilot.press("enter")
        assert psutil.Process(victim.pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("run", "tried", "means"),
    [
        ("r", None, Means.CANCEL),
        ("r", Means.CANCEL, Means.TERMINATE),
        (None, None, Means.TERMINATE),
        ("r", Means.TERMINATE, Means.KILL),
        (None, Means.TERMINATE, Means.KILL),
        (None, Means.KILL, Means.KILL),
    ],
)
def test_the_gentlest_means_that_was_not_tried_comes_next(victim, run, tried, means):
    assert next_means(dataclasses.replace(victim, run=run), tried) == means


async def test_a_process_of_a_run_is_ended_by_cancelling_the_run(on_machine, services, victim, monkeypatch):
    app = on_machine("none")
    alone(services, victim)
    cancelled: list[str] = []
    monkeypatch.setattr(services.runs, "get", lambda name: name)
    monkeypatch.setattr(services.runs, "cancel", cancelled.append)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, said(pilot, f"Run {victim.run} was cancelled"))
    assert cancelled == [victim.run]
    assert psutil.Process(victim.pid).status() != psutil.STATUS_ZOMBIE


async def test_nothing_is_ended_before_an_answer_and_the_safe_one_has_the_focus(on_machine, services, victim):
    app = on_machine("none")
    alone(services, victim)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert app.screen.focused.id == "no"
        await pilot.press("enter")
        await pilot.pause()
        assert not isinstance(app.screen, Confirm)
        assert psutil.Process(victim.pid).status() != psutil.STATUS_ZOMBIE


async def test_read_only_refuses_with_the_reason(on_machine, services):
    services.read_only = True
    app = on_machine("one")
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        pane = await opened(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert not isinstance(app.screen, Confirm)
        assert pane.live.why_not(pane.live.selected_process()).startswith("Read-only: start llmopt-tui without --read-only")
        assert any("Read-only" in note.message for note in app._notifications)


async def test_a_process_of_another_namespace_is_refused(on_machine):
    async with on_machine("one").run_test(size=SMALL) as pilot:
        pane = await opened(pilot)
        assert "end it from the host" in pane.live.why_not(ProcessState(9, "compute", 0, foreign=True))
        assert "No process under the cursor" in pane.live.why_not(None)


async def test_a_process_that_has_ended_meanwhile_is_said_to_have(on_machine, services, victim):
    app = on_machine("none")
    alone(services, dataclasses.replace(victim, started=victim.started - 500, run=None))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await opened(pilot)
        await pilot.press("x", "y")
        await until(pilot, said(pilot, "belongs to another process"))
    assert psutil.Process(victim.pid).status() != psutil.STATUS_ZOMBIE


def test_the_question_names_pid_owner_command_and_run(victim):
    text = describe(victim, Means.CANCEL)
    for part in (str(victim.pid), "ada", "python -c sleep", "20260101-000000-quantize-beef"):
        assert part in text
    assert "\x1b" not in describe(dataclasses.replace(victim, command="\x1b[2J"), Means.KILL)

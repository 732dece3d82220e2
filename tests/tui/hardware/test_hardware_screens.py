"""The Hardware tab on machines of every kind, at every size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.hardware.conftest import answered, opened
from tui.app import LlmoptApp

Compare = Callable[..., Any]
OnMachine = Callable[..., LlmoptApp]
SMALL, WIDE, NARROW = (80, 24), (120, 36), (60, 20)
both = pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "120x36"])


async def shown(pilot: Pilot[None]) -> None:
    await opened(pilot)


@both
@pytest.mark.parametrize("shape", ["one", "eight", "mig", "none", "lost"])
def test_live(snap_compare: Compare, on_machine: OnMachine, shape: str, size: tuple[int, int]) -> None:
    assert snap_compare(on_machine(shape), terminal_size=size, run_before=shown)


def test_live_narrow(snap_compare: Compare, on_machine: OnMachine) -> None:
    assert snap_compare(on_machine("eight"), terminal_size=NARROW, run_before=shown)


def test_many_cores_without_a_gpu(snap_compare: Compare, on_machine: OnMachine) -> None:
    assert snap_compare(on_machine("none", cores=192), terminal_size=SMALL, run_before=shown)


def test_ending_a_process(snap_compare: Compare, on_machine: OnMachine) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await pilot.press("x")
        await pilot.pause()

    assert snap_compare(on_machine("one"), terminal_size=SMALL, run_before=ask)


@both
@pytest.mark.parametrize("view", ["fit", "advice"])
def test_plan(snap_compare: Compare, on_machine: OnMachine, view: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.hardware.plan.recipes.served_name", lambda model: f"/opt/models/{model.removeprefix('bundled:')}")

    async def plan(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await pilot.press(view[0])
        await answered(pilot)

    assert snap_compare(on_machine("one"), terminal_size=size, run_before=plan)

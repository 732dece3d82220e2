"""Waiting for what a timer or a thread brings about, however busy the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.pilot import Pilot

from tui.app import LlmoptApp

PATIENCE = 60.0
"""Seconds after which a test gives up: far more than anything takes, so that only a mistake runs into it."""


async def until(pilot: Pilot[None], true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds and nothing waits to be painted."""
    for _ in range(int(seconds / 0.01)):
        if true():
            await pilot.pause()
            return
        await pilot.pause()
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen in time")


def app_of(pilot: Pilot[None]) -> LlmoptApp:
    """The workstation that a pilot drives."""
    assert isinstance(pilot.app, LlmoptApp)
    return pilot.app

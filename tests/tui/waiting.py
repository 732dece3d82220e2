"""Waiting for what a timer or a thread brings about, however busy the machine is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.pilot import Pilot, WaitForScreenTimeout

from tui.app import LlmoptApp

PATIENCE = 60.0
"""Seconds after which a test gives up: far more than anything takes, so that only a mistake runs into it."""


_LOOK, _WORK = 0.01, 0.001
"""Seconds between two looks at whether the process works, and how much of them it has then worked."""


async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """As Textual's function of this name, in half the time, and right on a busy machine too: what waits for its turn counts as work."""
    begin = time.monotonic()
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    while (elapsed := time.monotonic() - begin) < max_sleep:
        worked = time.process_time()
        await asyncio.sleep(_LOOK)
        await asyncio.sleep(0)
        if elapsed >= min_sleep and not ready and time.process_time() - worked < _WORK:
            break


async def wait_for_messages(pilot: Pilot[None], timeout: float = PATIENCE) -> bool:
    """As `Pilot._wait_for_screen`, without a message to each of some hundred widgets: when no task can run, every message has been handled."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        await asyncio.sleep(0)
        if not ready:
            return pilot.app._exception is None
    raise WaitForScreenTimeout("messages keep coming")


async def until(pilot: Pilot[None], true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds and nothing waits to be painted."""
    for _ in range(int(seconds / 0.01)):
        if true():
            await pilot.pause()
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen in time")


def app_of(pilot: Pilot[None]) -> LlmoptApp:
    """The workstation that a pilot drives."""
    assert isinstance(pilot.app, LlmoptApp)
    return pilot.app

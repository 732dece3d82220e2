"""The KV-cache tab over two made-up models, on a machine with a stated amount of memory."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from core.hardware.plan.machine import Machine
from tests.tui.fakes import FakeServices
from tests.tui.kvcache import made
from tests.tui.quantize.conftest import FakeModels, opened, settle, until
from tests.tui.recording import RecordingRuns
from tui.app import LlmoptApp
from tui.kvcache.pane import KvCachePane
from tui.shell.panes import PaneEntry

__all__ = ["RecordingRuns", "open_tab", "settle", "shown", "until"]

GIBIBYTE = 2**30


@pytest.fixture
def services() -> FakeServices:
    return FakeServices(models=FakeModels())


@pytest.fixture(autouse=True)
def stated_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 GiB of 8 are free and there is no GPU; only the KV-cache tab is real."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6 * GIBIBYTE))
    machine = Machine("workstation", (), 8 * GIBIBYTE, 8, "CPU of the test")
    monkeypatch.setattr("tui.kvcache.fit.view.Machine.here", lambda: machine)
    monkeypatch.setattr(PaneEntry, "load", lambda self: KvCachePane if self.id == "kv-cache" else Static)


@pytest.fixture
def runs(services: FakeServices) -> RecordingRuns:
    services.runs = RecordingRuns(services.find, made.going)
    return services.runs


MakeApp = Callable[..., LlmoptApp]


async def open_tab(pilot: Pilot[None], view: str = "") -> KvCachePane:
    """Open the tab, let it look around, and go to a view."""
    pane = await opened(pilot, "kv-cache", KvCachePane)
    if view:
        pane.show_view(view)
        await settle(pilot)
    return pane


def shown(pilot: Pilot[None]) -> str:
    """What is on the screen."""
    return "\n".join(strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips())

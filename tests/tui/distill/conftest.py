"""The Distill tab over two made-up models, on a machine with a stated amount of memory and disk."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tests.tui.prune.conftest import answer, runs, services, settle, text_of, until
from tui.app import LlmoptApp
from tui.distill.pane import DistillPane
from tui.prune.pane import PrunePane
from tui.shell.panes import PaneEntry

__all__ = ["answer", "open_distill", "runs", "services", "settle", "text_of", "until"]
_REAL = {"distill": DistillPane, "prune": PrunePane}


@pytest.fixture(autouse=True)
def stated_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 GiB of memory and 80 GiB of disk are free; only the Distill and the Prune tab are real."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6 * 2**30))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=80 * 2**30))
    monkeypatch.setattr(PaneEntry, "load", lambda self: _REAL.get(self.id, Static))


async def open_distill(pilot: Pilot[None]) -> DistillPane:
    """Open the tab and let it look around."""
    await settle(pilot)
    app = pilot.app
    assert isinstance(app, LlmoptApp)
    app.open_pane("distill")
    await settle(pilot)
    pane = app.pane("distill")
    assert isinstance(pane, DistillPane)
    return pane

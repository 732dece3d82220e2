"""The Prune tab over two made-up models, on a machine with a stated amount of memory and disk."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Static

from tests.tui.fakes import NOW, FakeServices
from tests.tui.quantize.conftest import FakeModels, answer, opened, settle, text_of, until
from tests.tui.quantize.made import run_of
from tests.tui.recording import RecordingRuns
from tui.prune.pane import PrunePane
from tui.quantize.pane import QuantizePane
from tui.shell.panes import PaneEntry

__all__ = ["answer", "open_prune", "settle", "text_of", "until"]
_REAL = {"prune": PrunePane, "quantize": QuantizePane}


@pytest.fixture
def services() -> FakeServices:
    return FakeServices(models=FakeModels())


@pytest.fixture
def runs(services: FakeServices) -> RecordingRuns:
    services.runs = RecordingRuns(services.find, lambda spec, run_id: run_of(spec, run_id, created=NOW - 1))
    return services.runs


@pytest.fixture(autouse=True)
def stated_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 GiB of memory and 80 GiB of disk are free; only the Prune and the Quantize tab are real."""
    state_machine(monkeypatch, _REAL)


def state_machine(monkeypatch: pytest.MonkeyPatch, real: Mapping[str, type[Widget]]) -> None:
    """6 GiB of memory and 80 GiB of disk are free; of the tabs only those of `real` are more than an empty text."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6 * 2**30))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=80 * 2**30))
    monkeypatch.setattr(PaneEntry, "load", lambda self: real.get(self.id, Static))


async def open_prune(pilot: Pilot[None]) -> PrunePane:
    """Open the tab and let it look around."""
    return await opened(pilot, "prune", PrunePane)

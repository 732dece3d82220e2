"""The Speculative tab over the bundled pair, on a machine with a stated amount of memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from core.errors import RequestError
from core.models.resolve import resolve
from core.models.source import ModelSource
from tests.tui.fakes import FakeServices
from tests.tui.quantize.conftest import FakeModels, MadeUp, opened, settle
from tests.tui.waiting import until
from tui.shell.panes import PaneEntry
from tui.speculate.pane import SpeculatePane

__all__ = ["open_speculate", "settle", "until"]


class Pair(FakeModels):
    """The bundled models and what is on the disk as they are, and a folder of which only the card is made up."""

    def __init__(self) -> None:
        super().__init__()
        self.names = ["bundled:base", "bundled:draft", "/models/story-llama"]

    def resolve(self, name: str) -> ModelSource | MadeUp:
        if name.startswith("bundled:") or Path(name).exists():
            return resolve(name, allow_download=False)
        if name not in self.names:
            raise RequestError(f"no such path: {name}; give bundled:base, an existing folder or .gguf file, or a Hugging Face id")
        return MadeUp(name)


@pytest.fixture
def services() -> FakeServices:
    return FakeServices(models=Pair())


@pytest.fixture(autouse=True)
def stated_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 GiB of memory are free; only the Speculative tab is real."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6 * 2**30))
    monkeypatch.setattr(PaneEntry, "load", lambda self: SpeculatePane if self.id == "speculate" else Static)


async def open_speculate(pilot: Pilot[None]) -> SpeculatePane:
    """Open the tab and let it look around."""
    return await opened(pilot, "speculate", SpeculatePane)

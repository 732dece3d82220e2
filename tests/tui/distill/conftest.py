"""The Distill tab over two made-up models, on a machine with a stated amount of memory and disk."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from tests.tui.prune.conftest import answer, runs, services, settle, state_machine, text_of, until
from tests.tui.quantize.conftest import opened
from tui.distill.pane import DistillPane
from tui.prune.pane import PrunePane

__all__ = ["answer", "open_distill", "runs", "services", "settle", "text_of", "until"]
_REAL = {"distill": DistillPane, "prune": PrunePane}


@pytest.fixture(autouse=True)
def stated_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 GiB of memory and 80 GiB of disk are free; only the Distill and the Prune tab are real."""
    state_machine(monkeypatch, _REAL)


async def open_distill(pilot: Pilot[None]) -> DistillPane:
    """Open the tab and let it look around."""
    return await opened(pilot, "distill", DistillPane)

"""What holds for every tab whose runs leave a checkpoint."""

from __future__ import annotations

from collections.abc import Callable

from textual.binding import Binding

from tests.tui.quantize.conftest import opened
from tui.app import LlmoptApp
from tui.compression.pane import COMPARE, PARETO, RESULTS, CompressionPane
from tui.experiment.names import LIVE, SETUP


async def assert_f4_reaches_every_view(make_app: Callable[..., LlmoptApp], tab: str, kind: type[CompressionPane], columns: int) -> None:
    """In a wide window the form stays next to the other views and is none of its own."""
    async with make_app().run_test(size=(columns, 24)) as pilot:
        pane = await opened(pilot, tab, kind)
        seen = set()
        for _ in range(5):
            await pilot.press("f4")
            seen.add(pane.bar.active)
        assert seen >= {LIVE, RESULTS, PARETO, COMPARE}
        assert (SETUP in seen) == (columns < 110)


def assert_every_action_can_be_found(kind: type[CompressionPane], prefix: str) -> None:
    """Each key of the tab has an id of the tab's own, a name and an explanation."""
    ids = [binding.id for binding in kind.BINDINGS if isinstance(binding, Binding)]
    assert len(set(ids)) == len(ids) == len(kind.BINDINGS)
    for binding in kind.BINDINGS:
        assert isinstance(binding, Binding)
        assert (binding.id or "").startswith(f"{prefix}.")
        assert binding.description
        assert binding.tooltip

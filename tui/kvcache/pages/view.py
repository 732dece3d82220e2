"""The blocks of a paged cache as they are taken, shared, copied and freed; below them the simulated scheduler."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from core.kvcache.pages.spec import PagesSpec
from core.runs.state.store import Run
from tui.kvcache.pages.decode_view import DecodeView
from tui.kvcache.pages.simulation_view import SimulationView

_TALL = 44
"""Lines from which on pages and simulation stand together."""


def is_simulation(run: Run) -> bool:
    """Whether a run of pages only simulates a scheduler."""
    spec = run.spec_as(PagesSpec)
    return spec is not None and spec.mode == "simulate"


class PagesView(Vertical):
    """The decode, and below it the simulation; in a low window they take turns."""

    HELP = (
        "The blocks of a paged cache, one cell each. Sequences with a common prefix share blocks; a shared block is copied before it is written; the "
        "blocks of a finished sequence stay cached until they are needed for others. The figures are compared with contiguous caches, allocated in "
        "advance for the whole context.\n\n"
        "Below, labelled simulation, a scheduler at the size of the form's model: requests as they arrive, continuous against static batching. Its "
        "times are estimates. F5 starts the mode chosen in the form of the pages (decode or simulate); m switches between the two if only one fits."
    )
    DEFAULT_CSS = """
    PagesView { height: 1fr; }
    PagesView.-low.-decode SimulationView, PagesView.-low.-simulate DecodeView { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-decode")
        self.decode = DecodeView()
        self.simulation = SimulationView()

    def compose(self) -> ComposeResult:
        yield self.decode
        yield self.simulation

    def on_resize(self) -> None:
        low = self.size.height < _TALL
        self.set_class(low, "-low")
        self.simulation.set_class(low, "-alone")

    def live_of(self, run: Run) -> DecodeView | SimulationView:
        return self.simulation if is_simulation(run) else self.decode

    def turn_to(self, run: Run) -> None:
        self._turn(simulate=is_simulation(run))

    def next_chart(self) -> None:
        """The other part, where they take turns; the simulation shows its chart between."""
        if self.has_class("-decode"):
            self._turn(simulate=True)
        elif not self.simulation.turn():
            self._turn(simulate=False)

    def _turn(self, *, simulate: bool) -> None:
        self.set_class(simulate, "-simulate")
        self.set_class(not simulate, "-decode")

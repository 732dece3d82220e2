"""The Prune tab: set up, start, follow, compare."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from core.prune.compare.spec import PruneCompareSpec
from core.prune.spec import PruneSpec
from tui.compression.pane import COMPARE, PARETO, RESULTS, CompressionPane, compression_bindings
from tui.experiment.names import LIVE, SETUP
from tui.prune.compare.view import PruneComparisonView
from tui.prune.live.view import PruneLiveView
from tui.prune.results.view import PruneResultsView
from tui.prune.setup.setup import SetupView

__all__ = ["COMPARE", "LIVE", "PARETO", "RESULTS", "SETUP", "PrunePane"]


class PrunePane(CompressionPane):
    """Form and fit check on the left, a run as it goes, results and all smaller forms of the model on the right."""

    HELP = (
        "Remove weights, channels, heads or blocks of a model, and measure the quality loss and the speed-up.\n\n"
        "Fill in the form (up and down move, left and right choose, enter on model or method lists the choices); F5 starts a run. It continues "
        "without this program: close the terminal and find it again here. r resumes a stopped run from its last finished block. F6 compares "
        "common prunings of the same model; Pareto compares all prunings and quantizations of it.\n\n"
        "Zeros that stay in place make no file smaller and no CPU faster; methods that cut channels, heads or blocks do both. n:m says how many of m "
        "are kept."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *compression_bindings(
            "prune",
            Binding("f6", "compare", "Compare", id="prune.compare", tooltip="Compare common prunings of this model"),
            views="setup, live, results, all runs, comparison",
        ),
    ]

    def __init__(self) -> None:
        live = PruneLiveView(id=LIVE)
        lives = {PruneSpec.capability: live, PruneCompareSpec.capability: live}
        super().__init__(SetupView(id=SETUP), lives, PruneResultsView(id=RESULTS), PruneComparisonView(id=COMPARE))

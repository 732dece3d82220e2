"""The Distill tab: set up, start, follow, compare."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from core.distill.compare.spec import DistillCompareSpec
from core.distill.spec import DistillSpec
from core.errors import LlmoptError
from tui.compression.pane import COMPARE, PARETO, RESULTS, CompressionPane, compression_bindings
from tui.distill.compare.view import DistillComparisonView
from tui.distill.live.view import DistillLiveView
from tui.distill.results.view import DistillResultsView
from tui.distill.setup.setup import SetupView, comparison_of
from tui.experiment.names import LIVE, SETUP

__all__ = ["COMPARE", "LIVE", "PARETO", "RESULTS", "SETUP", "DistillPane"]


class DistillPane(CompressionPane):
    """Form and forecast on the left, a training as it goes, results and all smaller forms of the teacher on the right."""

    HELP = (
        "Train a smaller or pruned student to predict what a teacher predicts, and measure how much of the gap between them closes.\n\n"
        "Fill in the form (up and down move, left and right choose): the model is the teacher; without a student a new one is made of the teacher's "
        "blocks. F5 starts a run. It continues without this program: close the terminal and find it again here. r resumes a stopped run at its last "
        "step. F6 compares ways to learn on one student; Pareto compares all students, prunings and quantizations of the teacher."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *compression_bindings(
            "distill",
            Binding("f6", "compare", "Compare", id="distill.compare", tooltip="Compare ways to distill this student"),
            views="setup, live, results, all runs, comparison",
        ),
    ]

    def __init__(self) -> None:
        live = DistillLiveView(id=LIVE)
        lives = {DistillSpec.capability: live, DistillCompareSpec.capability: live}
        super().__init__(SetupView(id=SETUP), lives, DistillResultsView(id=RESULTS), DistillComparisonView(id=COMPARE))

    def action_compare(self) -> None:
        spec = self.setup.spec()
        if not isinstance(spec, DistillSpec):
            self.start(None)
            return
        try:
            self.start(comparison_of(spec))
        except LlmoptError as error:
            self.not_started(str(error))

"""The Distill tab: set up, start, follow, compare."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from core.distill.compare.spec import DistillCompareSpec
from core.distill.spec import DistillSpec
from core.errors import LlmoptError
from core.runs.launch.finish import finishable
from core.runs.state.store import Run
from tui.compression.pane import COMPARE, PARETO, RESULTS, CompressionPane, compression_bindings
from tui.distill.compare.view import DistillComparisonView
from tui.distill.live.view import DistillLiveView
from tui.distill.results.view import DistillResultsView
from tui.distill.setup.setup import SetupView
from tui.experiment.names import LIVE, SETUP
from tui.services.services import services_of
from tui.widgets.threads import in_thread

__all__ = ["COMPARE", "LIVE", "PARETO", "RESULTS", "SETUP", "DistillPane"]


class DistillPane(CompressionPane):
    """Form and forecast on the left, a training as it goes, results and all smaller forms of the teacher on the right."""

    HELP = (
        "Train a smaller or pruned student to predict what a teacher predicts, and measure how much of the gap between them closes.\n\n"
        "Fill in the form (up and down move, left and right choose): the model is the teacher; without a student a new one is made of the teacher's "
        "blocks. F5 starts a run. It continues without this program: close the terminal and find it again here. r resumes a stopped run at its last "
        "step; e ends a training early and keeps its best. F6 compares ways to learn on one student; Pareto compares all students, prunings and "
        "quantizations of the teacher."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *compression_bindings(
            "distill",
            Binding("f6", "compare", "Compare", id="distill.compare", tooltip="Compare ways to distill this student"),
            Binding("e", "finish", "End now", id="distill.finish", tooltip="End the training early: its best step so far is measured and written"),
            views="setup, live, results, all runs, comparison",
        ),
    ]

    def __init__(self) -> None:
        live = DistillLiveView(id=LIVE)
        lives = {DistillSpec.capability: live, DistillCompareSpec.capability: live}
        super().__init__(SetupView(id=SETUP), lives, DistillResultsView(id=RESULTS), DistillComparisonView(id=COMPARE))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "finish":
            follower = self.live.follower
            here = self.bar.active == self.view_of(self.live) and follower is not None and not services_of(self).read_only
            return here and follower is not None and finishable(follower.run, follower.state)
        return super().check_action(action, parameters)

    def action_finish(self) -> None:
        if self.live.follower is not None:
            self._finish(self.live.follower.run)

    @in_thread(group="finish", description="end a training early")
    def _finish(self, run: Run) -> None:
        try:
            services_of(self).runs.finish(run)
        except LlmoptError as error:
            self.app.call_from_thread(self.shell.notify_text, str(error), severity="error")
        else:
            self.app.call_from_thread(self.shell.notify_text, "the best step so far is measured and written", title="Training ends")
        self.app.call_from_thread(self.live.look, always=True)
        self.app.call_from_thread(self.refresh_bindings)

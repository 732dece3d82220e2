"""The Quantize tab: set up, start, follow, compare."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from core.errors import LlmoptError
from core.evaluate.verify.spec import VerifySpec
from core.quantize.compare.spec import QuantizeCompareSpec, VariantSet
from core.quantize.spec import QuantizeSpec
from core.runs.state.store import Run
from tui.experiment.names import LIVE, SETUP
from tui.experiment.pane import ExperimentPane
from tui.quantize.compare.view import ComparisonView
from tui.quantize.live.view import LiveView
from tui.quantize.pareto.view import ParetoView
from tui.quantize.results.artifact import ArtifactScreen
from tui.quantize.results.verify import VerifyScreen
from tui.quantize.results.view import ResultsView
from tui.quantize.setup.options import comparison_of, comparison_options, usual_set
from tui.quantize.setup.setup import SetupView
from tui.services.services import services_of
from tui.widgets.form.table_picker import TablePicker

__all__ = ["COMPARE", "LIVE", "PARETO", "RESULTS", "SETUP", "QuantizePane"]

COMPARISON = QuantizeCompareSpec.capability
RESULTS, PARETO, COMPARE = "Results", "Pareto", "Compare"


class QuantizePane(ExperimentPane):
    """Form and fit check on the left, a run as it goes, results and comparisons on the right; one at a time in a narrow window."""

    HELP = (
        "Quantize the weights of a model and measure the quality loss.\n\n"
        "Fill in the form (up and down move, left and right choose, enter on model, method or level lists the choices); F5 starts a run. It "
        "continues without this program: close the terminal and find it again here. r resumes a stopped run from its last finished block. F6 "
        "compares common methods on the same model; Pareto compares all runs of the model."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "start", "Start", id="quantize.start", tooltip="Start a run with the settings of the form"),
        Binding("f8", "cancel", "Cancel run", id="quantize.cancel", tooltip="Stop the run in the live view, after confirmation"),
        Binding("r", "resume", "Resume", id="quantize.resume", tooltip="Resume the stopped run in the live view from its last finished block"),
        Binding("f6", "compare", "Compare", id="quantize.compare", tooltip="Compare common methods on this model"),
        Binding("f4", "next_view", "View", id="quantize.view", tooltip="Show the next view: setup, live, results, all runs, comparison"),
        Binding("f2", "pick_model", "Model", id="quantize.model", tooltip="Choose a model on this machine"),
        Binding("f3", "advanced", "More fields", show=False, id="quantize.advanced", tooltip="Expand or collapse all groups of fields"),
        Binding("f7", "again", "Again", id="quantize.again", tooltip="Fill the form with the settings of the displayed run"),
        Binding("f9,y", "copy_path", "Copy path", id="quantize.copy", tooltip="Copy the path of the checkpoint to the clipboard"),
        Binding("o", "open_artifact", "Files", show=False, id="quantize.files", tooltip="Show the files of the checkpoint and how to load it"),
        Binding("v", "verify", "Verify", id="quantize.verify", tooltip="Check the checkpoint's tensors and its perplexity"),
        Binding("m", "next_chart", "Next chart", show=False, id="quantize.chart", tooltip="Draw the next figure"),
        Binding("f10", "reset", "Reset form", show=False, id="quantize.reset", tooltip="Reset every field but the model to its default"),
        Binding("down,enter", "enter", "Into the view", show=False, id="quantize.enter", tooltip="Go into the form or the table"),
    ]
    WHOLE = frozenset({COMPARE})

    def __init__(self) -> None:
        self.results = ResultsView(id=RESULTS)
        self.pareto = ParetoView(id=PARETO)
        self.comparison = ComparisonView(id=COMPARE)
        live = LiveView(id=LIVE)
        lives = {QuantizeSpec.capability: live, COMPARISON: live}
        super().__init__(SetupView(id=SETUP), lives, (live, self.results, self.pareto, self.comparison))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "compare":
                return not services_of(self).read_only
            case "copy_path" | "open_artifact":
                return bool(self._checkpoint())
            case "verify":
                return bool(self._checkpoint()) and not services_of(self).read_only
        return super().check_action(action, parameters)

    # -- results

    def load_model(self, model: str) -> None:
        self.results.load(model)
        self.pareto.load(model)
        self.comparison.load(model)

    def reload(self) -> None:
        self.results.reload()
        self.pareto.reload()

    @on(ParetoView.Opened)
    def _opened(self, event: ParetoView.Opened) -> None:
        event.stop()
        self.show_result(event.run, follow=True)

    def show_result(self, run: Run, *, follow: bool) -> None:
        compared, model = run.capability == COMPARISON, run.asked_model
        (self.comparison if compared else self.results).load(model, run.id)
        self.pareto.load(model)
        if follow:
            self.show_view(COMPARE if compared else RESULTS)

    # -- actions

    def action_compare(self) -> None:
        spec = self.setup.spec()
        if not isinstance(spec, QuantizeSpec):
            self.start(None)
            return

        def chosen(which: VariantSet | None) -> None:
            if which is None:
                return
            try:
                self.start(comparison_of(spec, which))
            except LlmoptError as error:
                self.not_started(str(error))

        self.app.push_screen(TablePicker("compare", comparison_options, usual_set(spec.method)), chosen)

    def action_copy_path(self) -> None:
        self.copy(self._checkpoint())

    def action_open_artifact(self) -> None:
        self.app.push_screen(ArtifactScreen(self._checkpoint()))

    def action_verify(self) -> None:
        spec = VerifySpec(model=self._checkpoint())
        if self.begin("verifying ..."):
            self.launch(lambda: services_of(self).runs.start(spec), self._verifying, "Not verified")

    def _verifying(self, run: Run) -> None:
        self.app.push_screen(VerifyScreen(run))

    def _checkpoint(self) -> str:
        chosen = self.results.chosen
        return chosen.result.out if self.bar.active == RESULTS and chosen is not None else ""

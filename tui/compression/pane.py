"""A tab whose runs leave a checkpoint: its path, its files, its verification, and its place among all runs of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual import on
from textual.binding import Binding

from core.errors import LlmoptError
from core.evaluate.verify.spec import VerifySpec
from core.runs.registry import spec_class
from core.runs.state.store import Run
from core.spec import Spec, narrowed
from tui.compression.artifact import ArtifactScreen
from tui.compression.comparison import ComparisonView
from tui.compression.outcomes import OutcomesView
from tui.compression.verify import VerifyScreen
from tui.experiment.live import LiveRun
from tui.experiment.pane import ExperimentPane, common_bindings
from tui.experiment.setup import SetupView
from tui.pareto.view import ParetoView
from tui.services.services import services_of
from tui.shell.panes import tab_of

RESULTS, PARETO, COMPARE = "Results", "Pareto", "Compare"


class CompressionPane(ExperimentPane):
    """Form and live view, results of the model's runs, and all forms of the model on one chart.

    Args:
        setup: the form.
        lives: registry key of a capability -> the view that follows its runs.
        results: the finished runs; its id is `RESULTS`.
        comparison: the newest comparison of several ways; its id is `COMPARE`.
    """

    WHOLE = frozenset({COMPARE})

    def __init__(
        self, setup: SetupView[Any], lives: Mapping[str, LiveRun[Any]], results: OutcomesView[Any], comparison: ComparisonView[Any, Any]
    ) -> None:
        self.results, self.comparison = results, comparison
        self.pareto = ParetoView(setup.spec_class.capability, id=PARETO)
        super().__init__(setup, lives, (*dict.fromkeys(lives.values()), results, self.pareto, comparison))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "compare":
                return not services_of(self).read_only
            case "copy_path" | "open_artifact":
                return bool(self.checkpoint())
            case "verify":
                return bool(self.checkpoint()) and not services_of(self).read_only
        return super().check_action(action, parameters)

    def load_model(self, model: str) -> None:
        self.results.load(model)
        self.pareto.load(model)
        self.comparison.load(model)

    def reload(self) -> None:
        self.results.reload()
        self.pareto.reload()

    def show_result(self, run: Run, *, follow: bool) -> None:
        compared = run.capability == self.comparison.capability
        (self.comparison if compared else self.results).load(run.asked_model, run.id)
        self.pareto.load(run.asked_model)
        if follow:
            self.show_view(COMPARE if compared else RESULTS)

    def show_run(self, run: Run) -> None:
        """Show the result of a finished run that another tab came upon."""
        if self.setup.form.model != run.asked_model:
            self.setup.form.set_value("model", run.asked_model)
        self.show_result(run, follow=True)

    @on(ParetoView.Opened)
    def _opened(self, event: ParetoView.Opened) -> None:
        event.stop()
        if event.run.capability in self.lives:
            self.show_result(event.run, follow=True)
        elif (tab := tab_of(event.run.capability)) is not None:
            self.shell.open_pane(tab.id, show=event.run)

    # -- actions

    def action_compare(self) -> None:
        """Start the comparison with what the form says of it."""
        if (spec := self.setup.form.spec()) is None:
            self.start(None)
        else:
            self.start_comparison(spec)

    def start_comparison(self, spec: Spec, **more: object) -> None:
        """Start the comparison with the fields that it shares with a request, and more."""
        try:
            self.start(narrowed(spec, spec_class(self.comparison.capability), **more))
        except LlmoptError as error:
            self.not_started(str(error))

    def checkpoint(self) -> str:
        """Folder of the checkpoint of the result that is shown; empty where none is."""
        chosen = self.results.chosen
        return chosen.out if self.bar.active == RESULTS and chosen is not None else ""

    def action_copy_path(self) -> None:
        self.copy(self.checkpoint())

    def action_open_artifact(self) -> None:
        self.app.push_screen(ArtifactScreen(self.checkpoint()))

    def action_verify(self) -> None:
        spec = VerifySpec(model=self.checkpoint())
        if self.begin("verifying ..."):
            self.launch(lambda: services_of(self).runs.start(spec), self._verifying, "Not verified")

    def _verifying(self, run: Run) -> None:
        self.app.push_screen(VerifyScreen(run))


def compression_bindings(prefix: str, *more: Binding, views: str) -> list[Binding]:
    """The keys of a form and its runs, and of a finished checkpoint.

    Args:
        prefix: of the binding ids, for example `prune`.
        more: keys that the hints show after start, cancel and resume.
        views: names of the views, for the help line.
    """
    start, cancel, *common = common_bindings(prefix, views=views)
    return [
        start,
        cancel,
        Binding("r", "resume", "Resume", id=f"{prefix}.resume", tooltip="Resume the stopped run in the live view from its last finished block"),
        *more,
        *common,
        Binding("f9,y", "copy_path", "Copy path", id=f"{prefix}.copy", tooltip="Copy the path of the checkpoint to the clipboard"),
        Binding("o", "open_artifact", "Files", show=False, id=f"{prefix}.files", tooltip="Show the files of the checkpoint and how to load it"),
        Binding("v", "verify", "Verify", id=f"{prefix}.verify", tooltip="Check the checkpoint's tensors and its perplexity"),
        Binding("m", "next_chart", "Next chart", show=False, id=f"{prefix}.chart", tooltip="Draw the next figure"),
    ]

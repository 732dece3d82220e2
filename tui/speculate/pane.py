"""The Speculative tab: set up, follow, compare, test, simulate, take away."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from core.errors import LlmoptError
from core.runs.state.store import Run
from core.speculate.spec import SpeculateSpec
from tui.experiment.names import LIVE, SETUP
from tui.experiment.pane import ExperimentPane, common_bindings
from tui.services.services import services_of
from tui.speculate.advice.view import AdviceView
from tui.speculate.drafting import Drafting
from tui.speculate.lossless.view import LosslessView
from tui.speculate.names import SPECULATE, TEST
from tui.speculate.results.view import SpeculateResults
from tui.speculate.rounds.view import SpeculateLive
from tui.speculate.setup.setup import setup, test_of
from tui.speculate.simulate.view import SimulatorView
from tui.widgets.form.form import SpecForm

RESULTS, LOSSLESS, SIMULATOR, ADVICE = "Results", "Lossless", "Simulator", "Advice"

_HELP = (
    "Speculative decoding: a cheap drafter proposes tokens, the model verifies them in one forward, and the output distribution stays the same.\n\n"
    "Fill in the form and press F5: every setting is measured, alternating with plain decoding. t tests that it is lossless. The Simulator predicts "
    "the speed-up without a run, and F6 loads measured values into it. Advice gives the same speculation for serving engines; y copies a command. "
    "Runs continue without this program."
)


class SpeculatePane(ExperimentPane):
    """Form and check on the left; a run as it goes, results, the losslessness test, the simulator and the engines' commands on the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *common_bindings("speculate", views="setup, live, results, lossless, simulator, advice"),
        Binding("t", "test", "Test", id="speculate.test", tooltip="Test that speculation with the form's drafter is lossless"),
        Binding("f6", "feed", "To simulator", id="speculate.feed", tooltip="Use the measurements of the newest or the chosen run in the simulator"),
        Binding(
            "m", "next_chart", "Next chart", show=False, id="speculate.chart", tooltip="The next chart, or the rounds of a live run, one per line"
        ),
        Binding("y,f9", "copy", "Copy", id="speculate.copy", tooltip="Copy the command of the engine under the cursor to the clipboard"),
    ]
    WHOLE = frozenset({RESULTS, LOSSLESS, SIMULATOR})

    def __init__(self) -> None:
        live = SpeculateLive(id=LIVE)
        self.results = SpeculateResults(id=RESULTS)
        self.lossless = LosslessView(id=LOSSLESS)
        self.simulator = SimulatorView(id=SIMULATOR)
        self.advice = AdviceView(id=ADVICE)
        views: tuple[Widget, ...] = (live, self.results, self.lossless, self.simulator, self.advice)
        self.form_view = setup(SETUP)
        super().__init__(self.form_view, {SPECULATE: live, TEST: live}, views)
        self.text_view = live

    @property
    def HELP(self) -> str:  # type: ignore[override]  # noqa: N802
        return "\n\n".join(filter(None, (getattr(self.view_shown, "HELP", None), _HELP)))

    # -- results

    def load_model(self, model: str) -> None:
        self.results.load(model)
        self.lossless.load(model)

    def reload(self) -> None:
        self.results.reload()
        self.lossless.reload()

    def show_result(self, run: Run, *, follow: bool) -> None:
        model = run.asked_model
        tested = run.capability == TEST
        (self.lossless if tested else self.results).load(model, run.id)
        if follow:
            self.show_view(LOSSLESS if tested else RESULTS)

    @on(SpeculateResults.Chosen)
    def _chosen(self, event: SpeculateResults.Chosen) -> None:
        event.stop()
        self._advise()
        self.refresh_bindings()

    # -- the other views

    def show_view(self, view: str) -> None:
        """Bring a view to the front."""
        super().show_view(view)
        if view == ADVICE:
            self._advise()

    @on(SpecForm.Changed)
    def _form_changed(self) -> None:
        self._advise()

    def _advise(self) -> None:
        """The advice on the form as it is, with the gamma that was measured to be the fastest."""
        form = self.form_view.form
        asked = Drafting.of_values({name: form.rows[name].editor.get() for name in Drafting.model_fields} | form.values()) or Drafting()
        chosen = self.results.chosen
        known = [*([] if chosen is None else [chosen]), *self.results.entries]
        if (found := next((each for each in known if each.spec is not None and asked.was_measured(each.spec)), None)) is not None:
            best = max(found.siblings, key=lambda each: each.row.speedup).row
            self.advice.show_advice(
                asked, best.gamma, f"γ {best.gamma} was the fastest of {found.run_id}: {best.speedup:.2f} times plain decoding here"
            )
        else:
            self.advice.show_advice(asked, None, "γ of the form; nothing has been measured with this model and drafter yet")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "test":
                return not services_of(self).read_only
            case "copy":
                return self.bar.active == ADVICE and bool(self.advice.lines())
            case "feed":
                return self.results.chosen is not None
        return super().check_action(action, parameters)

    def action_test(self) -> None:
        spec = self.form_view.spec()
        try:
            self.start(test_of(spec) if isinstance(spec, SpeculateSpec) else None)
        except LlmoptError as error:
            self.not_started(str(error))

    @on(LosslessView.Wanted)
    def _test_wanted(self, event: LosslessView.Wanted) -> None:
        event.stop()
        self.action_test()

    def action_feed(self) -> None:
        chosen = self.results.chosen
        if chosen is None:
            return
        try:
            self.simulator.take(chosen.run_id, chosen.measured, chosen.siblings)
        except LlmoptError as error:
            self.shell.notify_text(str(error), severity="warning")
        else:
            self.show_view(SIMULATOR)

    def action_copy(self) -> None:
        self.copy(self.advice.lines())

    def action_enter(self) -> None:
        if self.bar.active == SIMULATOR:
            self.simulator.fields.focus_first()
        else:
            super().action_enter()

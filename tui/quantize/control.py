"""Starting, stopping and resuming runs from the Quantize tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.containers import Container

from core.errors import LlmoptError
from core.evaluate.verify_spec import VerifySpec
from core.quantize.compare_spec import VariantSet
from core.runs.resume import resumable
from core.runs.store import Run
from core.spec import Spec
from tui import crash
from tui.confirm import Confirm
from tui.quantize.fit import probe
from tui.quantize.live import LiveView
from tui.quantize.options import comparison_options, usual_set
from tui.quantize.requests import comparison_of, parts
from tui.quantize.setup import SetupView
from tui.quantize.title import title
from tui.quantize.verify import VerifyScreen
from tui.services import services_of
from tui.widgets.table_picker import TablePicker
from tui.widgets.threads import in_thread
from tui.widgets.view_bar import ViewBar

if TYPE_CHECKING:
    from tui.app import LlmoptApp

SETUP, LIVE, RESULTS, PARETO, COMPARE = "Setup", "Live", "Results", "Pareto", "Compare"


class RunControl(Container):
    """A pane with a form, a live view and a bar that says what is being started. One start at a time."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.setup = SetupView(id=SETUP)
        self.live = LiveView(id=LIVE)
        self.bar = ViewBar((SETUP, LIVE, RESULTS, PARETO, COMPARE), SETUP)
        self.ended: set[str] = set()
        """Runs whose end was shown."""
        self._starting = False

    def show_view(self, view: str) -> None:
        """Bring a view to the front."""
        raise NotImplementedError

    @property
    def can_resume(self) -> bool:
        """Whether the run that is shown live was stopped and can go on."""
        follower = self.live.follower
        return follower is not None and follower.over and resumable(follower.run, follower.state)

    def action_start(self) -> None:
        """Start what the form says."""
        self._start(self.setup.spec())

    def action_compare(self) -> None:
        """Ask what to compare on the form's model, then start it."""
        spec = self.setup.spec()
        if spec is None:
            self._start(None)
            return

        def chosen(which: VariantSet | None) -> None:
            if which is None:
                return
            try:
                self._start(comparison_of(spec, which))
            except LlmoptError as error:
                self._not_started(str(error))

        self.app.push_screen(TablePicker("compare", comparison_options, usual_set(spec.method)), chosen)

    def _start(self, spec: Spec | None) -> None:
        if spec is None:
            self.show_view(SETUP)
            self.setup.form.focus()
            self._not_started(self.setup.problem())
        elif self.live.going and self.live.follower is not None:
            text = f"{title(self.live.follower.run)} still runs. Start another beside it? Both get slower."
            self.app.push_screen(Confirm(text, yes="Start", no="Wait"), lambda yes: self._start_now(spec) if yes else None)
        else:
            self._start_now(spec)

    def _start_now(self, spec: Spec) -> None:
        if self._begin("starting ..."):
            self._launch(spec)

    def _begin(self, note: str) -> bool:
        if self._starting:
            return False
        self._starting = True
        self.bar.note = note
        return True

    @in_thread(group="start", description="start a run")
    def _launch(self, spec: Spec) -> None:
        services = services_of(self)
        try:
            refusal = next((fit.refusal for fit in (probe(services.models, each) for each in parts(spec)) if fit.refusal), None)
            if refusal is not None:
                self.app.call_from_thread(self._not_started, refusal)
                return
            run = services.runs.start(spec)
        except LlmoptError as error:
            self.app.call_from_thread(self._not_started, str(error))
        except Exception as error:
            self.app.call_from_thread(self._not_started, crash.record(error))
        else:
            self.app.call_from_thread(self._started, run)

    def action_resume(self) -> None:
        """Let the stopped run that is shown go on."""
        follower = self.live.follower
        if follower is not None and self.can_resume and self._begin("resuming ..."):
            self._resume(follower.run)

    @in_thread(group="start", description="let a run go on")
    def _resume(self, run: Run) -> None:
        try:
            services_of(self).runs.resume(run)
        except LlmoptError as error:
            self.app.call_from_thread(self._not_started, str(error), "Not resumed")
        except Exception as error:
            self.app.call_from_thread(self._not_started, crash.record(error), "Not resumed")
        else:
            self.app.call_from_thread(self._started, run)

    def verify(self, checkpoint: str) -> None:
        """Check the tensors of a checkpoint and let it predict text, as a run of its own."""
        if self._begin("verifying ..."):
            self._start_verifying(VerifySpec(model=checkpoint))

    @in_thread(group="start", description="start a verification")
    def _start_verifying(self, spec: VerifySpec) -> None:
        try:
            run = services_of(self).runs.start(spec)
        except LlmoptError as error:
            self.app.call_from_thread(self._not_started, str(error), "Not verified")
        except Exception as error:
            self.app.call_from_thread(self._not_started, crash.record(error), "Not verified")
        else:
            self.app.call_from_thread(self._verifying, run)

    def _verifying(self, run: Run) -> None:
        self._starting, self.bar.note = False, ""
        self.app.push_screen(VerifyScreen(run))

    def _not_started(self, reason: str, what: str = "Not started") -> None:
        self._starting, self.bar.note = False, ""
        self.shell.notify_text(reason, title=what, severity="error")

    def _started(self, run: Run) -> None:
        self._starting, self.bar.note = False, ""
        self.ended.discard(run.id)
        self.live.follow(run)
        self.show_view(LIVE)

    def action_cancel(self) -> None:
        """Ask, then stop the run."""
        follower = self.live.follower
        if follower is None or follower.over:
            return
        kept = resumable(follower.run, follower.state.model_copy(update={"status": "cancelled"}))
        what = "Blocks that are finished are kept: r lets it go on." if kept else "What it has made so far is thrown away."

        def answered(yes: bool | None) -> None:
            if yes:
                self._cancel(follower.run)

        self.app.push_screen(Confirm(f"Stop {title(follower.run)}? {what}", yes="Stop it", no="Let it run"), answered)

    @in_thread(group="cancel", description="cancel a run")
    def _cancel(self, run: Run) -> None:
        try:
            services_of(self).runs.cancel(run)
        except LlmoptError as error:
            self.app.call_from_thread(self.shell.notify_text, str(error), severity="error")
        self.app.call_from_thread(self.live.look, always=True)

    @property
    def shell(self) -> LlmoptApp:
        """The application around the tab."""
        return cast("LlmoptApp", self.app)

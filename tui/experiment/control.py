"""Starting, stopping and resuming the runs of a tab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.containers import Container

from core.errors import LlmoptError
from core.runs.launch.resume import resumable
from core.runs.state.state import State
from core.runs.state.store import Run
from core.spec import Spec
from tui.experiment.live import LiveRun
from tui.experiment.names import SETUP
from tui.experiment.setup import SetupView
from tui.experiment.setups import Setups
from tui.services.services import services_of
from tui.shell import crash
from tui.shell.confirm import Confirm
from tui.shell.shell import Shell, shell_of
from tui.widgets.threads import in_thread
from tui.widgets.view_bar import ViewBar


class RunControl(Container):
    """A pane with a form, live views and a bar that says what is being started. One start at a time.

    Args:
        setup: the form.
        lives: registry key of a capability -> the view that follows its runs; several capabilities may share one.
        bar: names the views and what is being done.
    """

    def __init__(self, setup: SetupView[Any] | Setups, lives: Mapping[str, LiveRun[Any]], bar: ViewBar) -> None:
        super().__init__()
        self.setup = setup
        self.lives = dict(lives)
        self.bar = bar
        self.ended: set[str] = set()
        """Runs whose end was shown."""
        self._starting = False

    def show_view(self, view: str) -> None:
        raise NotImplementedError

    def live_of(self, run: Run) -> LiveRun[Any]:
        """The view that follows a run of this tab."""
        return self.lives[run.capability]

    def view_of(self, live: LiveRun[Any]) -> str:
        """Name of the view that a live view is, or is part of."""
        return next((str(each.id) for each in live.ancestors_with_self if each.id in self.bar.views), str(live.id))

    def all_lives(self) -> Sequence[LiveRun[Any]]:
        return list(dict.fromkeys(self.lives.values()))

    @property
    def live(self) -> LiveRun[Any]:
        """The live view that is shown, one whose run is in progress before others; the first where none is shown."""
        lives = self.all_lives()
        shown = [live for live in lives if self.view_of(live) == self.bar.active]
        return next((live for live in shown if live.going), None) or next((live for live in shown if live.follower is not None), lives[0])

    @property
    def going(self) -> LiveRun[Any] | None:
        """A live view whose run is not over: the one that is shown before others."""
        return next((live for live in (self.live, *self.all_lives()) if live.going), None)

    @property
    def can_resume(self) -> bool:
        """Whether the run that is shown live was stopped and can go on."""
        follower = self.live.follower
        return follower is not None and follower.over and resumable(follower.run, follower.state)

    @property
    def shell(self) -> Shell:
        return shell_of(self)

    def action_start(self) -> None:
        self.start(self.setup.spec())

    def start(self, spec: Spec | None) -> None:
        """Start a request, after a question when another run of the tab is in progress; None: the form is wrong, and is shown."""
        if spec is None:
            self.show_view(SETUP)
            self.setup.form.focus()
            self.not_started(self.setup.problem())
        elif (live := self.going) is not None and live.follower is not None:
            text = f"{live.title(live.follower.run)} is still running. Start another as well? Both get slower."
            self.app.push_screen(Confirm(text, yes="Start", no="Wait"), lambda yes: self._start_now(spec) if yes else None)
        else:
            self._start_now(spec)

    def _start_now(self, spec: Spec) -> None:
        if self.begin("starting ..."):
            self.launch(lambda: services_of(self).runs.start(spec), self.started)

    def begin(self, note: str) -> bool:
        """Say that something is being started; False when something is already."""
        if self._starting:
            return False
        self._starting = True
        self.bar.note = note
        return True

    @in_thread(group="start", description="start a run")
    def launch(self, make: Callable[[], Run], then: Callable[[Run], None], what: str = "Not started") -> None:
        """After `begin`: make a run in a thread.

        Args:
            make: answers the run.
            then: gets the run, on the event loop.
            what: title of the note that says why there is none.
        """
        try:
            made = make()
        except Exception as error:
            reason = str(error) if isinstance(error, LlmoptError) else crash.record(error)
            self.app.call_from_thread(self.not_started, reason, what)
        else:
            self.app.call_from_thread(self._over, then, made)

    def _over(self, then: Callable[[Run], None], run: Run) -> None:
        self._starting, self.bar.note = False, ""
        then(run)

    def not_started(self, reason: str, what: str = "Not started") -> None:
        """Say why nothing was started."""
        self._starting, self.bar.note = False, ""
        self.shell.notify_text(reason, title=what, severity="error")

    def started(self, run: Run) -> None:
        """Follow a run that was started or is in progress."""
        self.ended.discard(run.id)
        live = self.live_of(run)
        live.follow(run)
        self.show_view(self.view_of(live))

    def action_resume(self) -> None:
        follower = self.live.follower
        if follower is not None and self.can_resume and self.begin("resuming ..."):
            run = follower.run

            def resume() -> Run:
                services_of(self).runs.resume(run)
                return run

            self.launch(resume, self.started, "Not resumed")

    def action_cancel(self) -> None:
        live = self.live
        follower = live.follower
        if follower is None or follower.over:
            return
        what = self.what_stays(follower.run, follower.state)

        def answered(yes: bool | None) -> None:
            if yes:
                self._cancel(live, follower.run)

        self.app.push_screen(Confirm(f"Stop {live.title(follower.run)}? {what}", yes="Stop it", no="Keep running"), answered)

    def what_stays(self, run: Run, state: State) -> str:
        """What is left of a run that is stopped now, as a sentence."""
        kept = resumable(run, state.model_copy(update={"status": "cancelled"}))
        return "Finished blocks are kept: r resumes it." if kept else "Everything it has produced so far is discarded."

    @in_thread(group="cancel", description="cancel a run")
    def _cancel(self, live: LiveRun[Any], run: Run) -> None:
        try:
            services_of(self).runs.cancel(run)
        except LlmoptError as error:
            self.app.call_from_thread(self.shell.notify_text, str(error), severity="error")
        self.app.call_from_thread(live.look, always=True)

"""A tab of experiments: form and views beside each other in a wide window, one at a time in a narrow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import ContentSwitcher, DataTable

from core.runs.store import Run
from tui.experiment.control import RunControl
from tui.experiment.live import LiveRun
from tui.experiment.names import LIVE, SETUP
from tui.experiment.setup import SetupView
from tui.experiment.turns import Turns
from tui.runs.watcher import RunEvent, RunStarted
from tui.services import services_of
from tui.widgets.live_table import LiveTable
from tui.widgets.threads import in_thread
from tui.widgets.view_bar import ViewBar

WIDE = 110
"""Columns from which on the form stays beside the other views."""


class ExperimentPane(RunControl):
    """Form and fit check on the left, views on the right.

    A subclass names its `CAPABILITIES`, the views that take the whole width (`WHOLE`), and says in `load_model`, `show_result`, `reload` and
    `values_shown` what its views of results do. Keys: `common_bindings`, or a list of its own with the actions that are here.

    Args:
        setup: the form; its id is `SETUP`.
        live: the run as it goes; its id is `LIVE`.
        views: the other views, each named by its id.
    """

    DEFAULT_CSS = """
    ExperimentPane { layout: vertical; }
    ExperimentPane #body { height: 1fr; }
    ExperimentPane SetupView, ExperimentPane #views { width: 1fr; height: 1fr; }
    ExperimentPane.-wide SetupView { width: 52; border-right: solid $panel; }
    ExperimentPane.-wide #views { padding-left: 1; }
    ExperimentPane.-hide-setup SetupView, ExperimentPane.-hide-views #views { display: none; }
    """
    CAPABILITIES: ClassVar[tuple[str, ...]] = ()
    """Registry keys of the runs that the live view shows."""
    WHOLE: ClassVar[frozenset[str]] = frozenset()
    """Views beside which the form is put away in a wide window too."""

    def __init__(self, setup: SetupView[Any], live: LiveRun[Any], views: Sequence[Widget], *, id: str | None = None) -> None:  # noqa: A002
        self._views: tuple[Widget, ...] = (live, *views)
        names = [str(view.id) for view in self._views]
        super().__init__(setup, live, ViewBar((SETUP, *names), SETUP), id=id)
        self._names = tuple(names)
        self._heard_last = ("", "")

    # -- what a subclass adds

    def load_model(self, model: str) -> None:
        """Another model stands in the form: show its results."""

    def show_result(self, run: Run, *, follow: bool) -> None:
        """A run is done: load its result, and with `follow` go to it."""

    def reload(self) -> None:
        """A run began or ended elsewhere: read the results again."""

    def values_shown(self) -> Mapping[str, Any] | None:
        """The spec's values of the run that is shown, None where none is."""
        follower = self.live.follower
        ours = follower is not None and follower.run.capability == self.setup.spec_class.capability
        return follower.run.values if follower is not None and ours and self.bar.active == LIVE else None

    # -- what is on the screen

    def compose(self) -> ComposeResult:
        """View bar, then setup and the other views beside each other."""
        yield self.bar
        with Horizontal(id="body"):
            yield self.setup
            with ContentSwitcher(id="views", initial=LIVE):
                yield from self._views

    def on_mount(self) -> None:
        """Find the runs that go on."""
        self.find_runs(first=True)

    def on_resize(self, event: events.Resize) -> None:
        """Stack or spread the views."""
        wide = event.size.width >= WIDE
        self.set_class(wide, "-wide")
        self.bar.views = self._names if wide else (SETUP, *self._names)
        self.show_view(LIVE if wide and self.bar.active == SETUP else self.bar.active)

    def show_view(self, view: str) -> None:
        """Bring a view to the front; in a wide window the form stays beside it unless it takes the whole width."""
        wide = self.has_class("-wide")
        if wide and view == SETUP:
            view = LIVE if self.bar.active in self.WHOLE or self.bar.active == SETUP else self.bar.active
        self.bar.active = view
        self.set_class(view in self.WHOLE if wide else view != SETUP, "-hide-setup")
        self.set_class(view == SETUP, "-hide-views")
        if view != SETUP:
            self.query_one("#views", ContentSwitcher).current = view
        self.keep_focus()
        self.refresh_bindings()

    def keep_focus(self) -> None:
        """Take the focus to the pane itself when the widget that has it is put away, so that the keys go on working."""
        focused = self.screen.focused
        away: list[Widget] = [view for view in self._views if view.id != self.query_one("#views", ContentSwitcher).current]
        away += [view.table for view in self._views if isinstance(view, Turns) and view.hides_table]
        if self.has_class("-hide-setup"):
            away.append(self.setup)
        if focused is not None and any(view in focused.ancestors_with_self for view in away):
            self.focus()

    @on(ViewBar.Chosen)
    def _view_chosen(self, event: ViewBar.Chosen) -> None:
        event.stop()
        self.show_view(event.view)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer only what can be done now."""
        match action:
            case "start":
                return not services_of(self).read_only
            case "cancel":
                return self.live.going and not services_of(self).read_only
            case "resume":
                return self.bar.active == LIVE and self.can_resume and not services_of(self).read_only
            case "again":
                return self.values_shown() is not None
        return True

    def prefill(self, values: Mapping[str, Any]) -> None:
        """Fill the form, for example from a recommendation."""
        unknown = self.setup.prefill(values)
        if unknown:
            self.shell.notify_text(f"left out, as this version has no such field: {', '.join(unknown)}", severity="warning")
        self.show_view(SETUP)
        self.call_after_refresh(self.setup.form.focus)

    # -- runs that go on, and that ended

    @in_thread(group="find", description="find runs", exclusive=True)
    def find_runs(self, *, first: bool = False) -> None:
        """Look for the runs of this tab; at the `first` look the form begins with the model of the one that is found."""
        runs = services_of(self).runs
        ours = [run for run in runs.list_runs() if run.capability in self.CAPABILITIES]
        going = next((run for run in ours if not runs.state(run).is_over), None)
        self.app.call_from_thread(self._found, going, ours[0] if ours else None, first)

    def _found(self, going: Run | None, newest: Run | None, first: bool) -> None:
        """Show what goes on, else the newest."""
        if newest is None or self.live.going:
            return
        self.live.follow(going or newest)
        if going is not None:
            self.show_view(LIVE)
        if first:
            self.setup.begin_with((going or newest).values.get("model"))

    def on_run_event(self, event: RunEvent) -> None:
        """A run began or ended, perhaps from another terminal."""
        follower = self.live.follower
        if follower is not None and event.run_id == follower.run.id:
            if not follower.over:
                self.live.look(always=True)
            elif isinstance(event, RunStarted):
                self.ended.discard(event.run_id)
                self.live.follow(follower.run)
        else:
            self.reload()
            self.find_runs()

    @on(SetupView.ModelChanged)
    def _model_changed(self, event: SetupView.ModelChanged) -> None:
        event.stop()
        self.load_model(event.model)

    @on(LiveRun.Heard)
    def _heard(self, event: LiveRun.Heard) -> None:
        event.stop()
        if self._heard_last != (event.run.id, event.state.status):
            self._heard_last = (event.run.id, event.state.status)
            self.refresh_bindings()
        if not event.state.is_over or event.run.id in self.ended:
            return
        self.ended.add(event.run.id)
        if event.state.status == "done":
            self.show_result(event.run, follow=self.bar.active == LIVE)

    # -- actions

    def action_next_view(self) -> None:
        """Show the next view."""
        self.show_view(self.bar.neighbour(1))

    def action_show_view(self, view: str) -> None:
        """Show a view by its name."""
        self.show_view(view)

    def action_pick_model(self) -> None:
        """Open the list of models."""
        self.show_view(SETUP)
        self.setup.pick_model()

    def action_advanced(self) -> None:
        """Open the folds of the form, or close them."""
        self.show_view(SETUP)
        self.setup.form.toggle_folds()

    def action_enter(self) -> None:
        """From the pane into what it shows: the table of the view, otherwise the form."""
        beside = {SETUP: self.setup, LIVE: self.setup if self.has_class("-wide") else self.live}
        view = beside.get(self.bar.active) or self.query_one("#views", ContentSwitcher).visible_content
        tables = [each for each in view.query("*") if isinstance(each, DataTable | LiveTable) and each.display] if view is not None else []
        if tables:
            tables[0].focus()
        elif self.setup.display:
            self.setup.form.focus()

    def action_again(self) -> None:
        """Fill the form as it was for the run that is shown."""
        if (values := self.values_shown()) is not None:
            self.prefill(values)

    def action_reset(self) -> None:
        """Defaults in every field."""
        self.setup.reset()


def common_bindings(prefix: str, *, views: str) -> list[Binding]:
    """The keys that every tab of experiments has: start, cancel, next view, model, folds, again, reset, into the view.

    Args:
        prefix: of the binding ids, for example `kv`.
        views: names of the views, for the help line.
    """
    return [
        Binding("f5", "start", "Start", id=f"{prefix}.start", tooltip="Start a run with the settings of the form"),
        Binding("f8", "cancel", "Cancel run", id=f"{prefix}.cancel", tooltip="Stop the run that is shown live, after a question"),
        Binding("f4", "next_view", "View", id=f"{prefix}.view", tooltip=f"Show the next view: {views}"),
        Binding("f2", "pick_model", "Model", id=f"{prefix}.model", tooltip="Choose a model of this machine"),
        Binding("f3", "advanced", "More fields", show=False, id=f"{prefix}.advanced", tooltip="Open or close every group of fields of the form"),
        Binding("f7", "again", "Again", id=f"{prefix}.again", tooltip="Fill the form with the settings of the run that is shown"),
        Binding("f10", "reset", "Reset form", show=False, id=f"{prefix}.reset", tooltip="Set every field to its default; the model stays"),
        Binding("down,enter", "enter", "Into the view", show=False, id=f"{prefix}.enter", tooltip="Go into the form or the table"),
    ]

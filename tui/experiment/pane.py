"""A tab of experiments: form and views next to each other in a wide window, one at a time in a narrow one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import ContentSwitcher, DataTable

from core.runs.state.state import State
from core.runs.state.store import Run
from core.spec import Values
from tui.experiment.control import RunControl
from tui.experiment.live import LiveRun
from tui.experiment.names import LIVE, SETUP
from tui.experiment.setup import SetupView
from tui.experiment.setups import Setups
from tui.runs.watcher import RunEvent, RunStarted
from tui.services.services import services_of
from tui.widgets.scrolled_lines import ScrolledLines
from tui.widgets.table.live_table import LiveTable
from tui.widgets.table.table import Table
from tui.widgets.threads import in_thread
from tui.widgets.view_bar import ViewBar

WIDE = 110
"""Columns from which on the form stays next to the other views."""


@runtime_checkable
class HidesTable(Protocol):
    """A view whose table may be put away for something else."""

    table: Table[Any]

    @property
    def hides_table(self) -> bool:
        """Whether something else has taken the table's place."""


@runtime_checkable
class TurnsCharts(Protocol):
    """A view with several figures, or with parts that take turns."""

    def next_chart(self) -> None:
        """Show the next one."""


@runtime_checkable
class HoldsValues(Protocol):
    """A view in which a run can be chosen."""

    def values(self) -> Values | None:
        """The spec's values of that run, None where no form could ask for it."""


class ExperimentPane(RunControl):
    """Form and fit check on the left, views on the right.

    A subclass names the views that take the whole width (`WHOLE`), and says in `load_model`, `show_result` and `reload` what its views of results
    do. Keys: `common_bindings`, or a list of its own with the actions that are here.

    Args:
        setup: the form, or `Setups` of several kinds of runs; its id is `SETUP`.
        lives: registry key of a capability -> the view that follows its runs. The first one is called `LIVE`.
        views: all views but the form in the order of F4, those of `lives` among them; each is named by its id.
    """

    DEFAULT_CSS = """
    ExperimentPane { layout: vertical; }
    ExperimentPane #body { height: 1fr; }
    ExperimentPane .experiment--setup, ExperimentPane #views { width: 1fr; height: 1fr; }
    ExperimentPane.-wide .experiment--setup { width: 52; border-right: solid $panel; }
    ExperimentPane.-wide #views { padding-left: 1; }
    """
    WHOLE: ClassVar[frozenset[str]] = frozenset()
    """Views for which the form is put away in a wide window too."""

    FORMS: ClassVar[Mapping[str, str]] = {}
    """View -> capability whose form belongs next to it, where there are several forms; a live view goes with the form of its runs."""

    def __init__(self, setup: SetupView[Any] | Setups, lives: Mapping[str, LiveRun[Any]], views: Sequence[Widget]) -> None:
        self._views = tuple(views)
        self._names = tuple(str(view.id) for view in views)
        setup.add_class("experiment--setup")
        super().__init__(setup, lives, ViewBar((SETUP, *self._names), SETUP))
        self._last_status: dict[str, str] = {}

    # -- what a subclass adds

    def load_model(self, model: str) -> None:
        """Another model is named in the form: show its results."""

    def show_result(self, run: Run, *, follow: bool) -> None:
        """A run is done: load its result, and with `follow` go to it."""

    def has_result(self, run: Run, state: State) -> bool:  # noqa: ARG002
        """Whether a run that is over left a result to be shown."""
        return state.status == "done"

    def reload(self) -> None:
        """A run began or ended elsewhere: read the results again."""

    def values_shown(self) -> Values | None:
        """The spec's values of the run that is shown, None where none is that a form could ask for."""
        if isinstance(view := self.view_shown, HoldsValues):
            return view.values()
        follower = self.live.follower
        return follower.run.values if follower is not None and self.view_of(self.live) == self.bar.active and self._asks(follower.run) else None

    def _asks(self, run: Run) -> bool:
        """Whether a form can ask for such a run."""
        forms = list(self.setup.views.values()) if isinstance(self.setup, Setups) else [self.setup]
        return any(form.spec_class.capability == run.capability for form in forms)

    # -- what is on the screen

    @property
    def view_shown(self) -> Widget | None:
        """The view next to the form, or in its place; None while the form is all there is."""
        return next((view for view in self._views if view.id == self.bar.active), None)

    def compose(self) -> ComposeResult:
        self.set_class(self.app.size.width >= WIDE, "-wide", update=False)
        yield self.bar
        with Horizontal(id="body"):
            yield self.setup
            with ContentSwitcher(id="views", initial=LIVE):
                yield from self._views

    def on_mount(self) -> None:
        self.find_runs(first=True)

    def on_resize(self, event: events.Resize) -> None:
        wide = event.size.width >= WIDE
        self.set_class(wide, "-wide")
        self.bar.views = self._names if wide else (SETUP, *self._names)
        self.show_view(LIVE if wide and self.bar.active == SETUP else self.bar.active)

    def show_view(self, view: str) -> None:
        """Bring a view to the front; in a wide window the form stays next to it unless it takes the whole width."""
        wide = self.has_class("-wide")
        if wide and view == SETUP:
            view = LIVE if self.bar.active in self.WHOLE or self.bar.active == SETUP else self.bar.active
        self.bar.active = view
        if isinstance(self.setup, Setups) and (capability := self._form_of(view)) is not None:
            self.setup.choose_capability(capability)
        self.setup.display = view not in self.WHOLE if wide else view == SETUP
        self.query_one("#views").display = view != SETUP
        if view != SETUP:
            self.query_one("#views", ContentSwitcher).current = view
        self.keep_focus()
        self.refresh_bindings()

    def _form_of(self, view: str) -> str | None:
        return self.FORMS.get(view) or next((capability for capability, live in self.lives.items() if self.view_of(live) == view), None)

    def keep_focus(self) -> None:
        """Take the focus to the pane itself when the widget that has it is put away, so that the keys go on working."""
        focused = self.screen.focused
        away: list[Widget] = [view for view in self._views if view.id != self.query_one("#views", ContentSwitcher).current]
        away += [view.table for view in self._views if isinstance(view, HidesTable) and view.hides_table]
        if not self.setup.display:
            away.append(self.setup)
        elif isinstance(self.setup, Setups):
            away += [form for form in self.setup.views.values() if form is not self.setup.current]
        if focused is not None and any(view in focused.ancestors_with_self for view in away):
            self.focus()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Only the pane itself looks different: what it holds, hundreds of widgets, is not styled anew."""
        self.app.stylesheet.update_nodes([self])

    @on(ViewBar.Chosen)
    def _view_chosen(self, event: ViewBar.Chosen) -> None:
        event.stop()
        self.show_view(event.view)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        match action:
            case "start":
                return not services_of(self).read_only
            case "cancel":
                return self.live.going and not services_of(self).read_only
            case "resume":
                return self.bar.active == self.view_of(self.live) and self.can_resume and not services_of(self).read_only
            case "again":
                return self.values_shown() is not None
            case "next_chart":
                return isinstance(self.view_shown, TurnsCharts)
        return True

    def prefill(self, values: Values) -> None:
        """Fill the form, for example from a recommendation."""
        unknown = self.setup.prefill(values)
        if unknown:
            self.shell.notify_text(f"ignored, as this version has no such field: {', '.join(unknown)}", severity="warning")
        self.show_view(SETUP)
        self.call_after_refresh(self.setup.form.focus)

    # -- runs that go on, and that ended

    @in_thread(group="find", description="find runs", exclusive=True)
    def find_runs(self, *, first: bool = False) -> None:
        """Look for the runs of this tab; at the `first` look the form begins with the model of the one that is found."""
        runs = services_of(self).runs
        ours = [run for run in runs.list_runs() if run.capability in self.lives]
        going = {run.id for run in ours if not runs.state(run).is_over}
        self.app.call_from_thread(self._found, ours, going, first)

    def _found(self, ours: Sequence[Run], going: Collection[str], first: bool) -> None:
        """Each live view shows what is running, else the newest; what is running is brought to the front."""
        chosen: list[Run] = []
        for live in self.all_lives():
            mine = [run for run in ours if self.live_of(run) is live]
            if not mine or live.going:
                continue
            run = next((run for run in mine if run.id in going), mine[0])
            if live.follower is None or live.follower.run.id != run.id or run.id in going:
                live.follow(run)
                chosen.append(run)
        on = next((run for run in chosen if run.id in going), None)
        if on is not None:
            self.show_view(self.view_of(self.live_of(on)))
        if first and chosen:
            newest = on or max(chosen, key=lambda run: run.id)
            self.setup.begin_with(newest.asked_model)

    def on_run_event(self, event: RunEvent) -> None:
        live = next((live for live in self.all_lives() if live.follower is not None and live.follower.run.id == event.run_id), None)
        if live is None or live.follower is None:
            self.reload()
            self.find_runs()
        elif not live.follower.over:
            live.look(always=True)
        elif isinstance(event, RunStarted):
            self.ended.discard(event.run_id)
            live.follow(live.follower.run)

    @on(SetupView.ModelChanged)
    def _model_changed(self, event: SetupView.ModelChanged) -> None:
        event.stop()
        self.load_model(event.model)

    @on(LiveRun.Updated)
    def _updated(self, event: LiveRun.Updated) -> None:
        event.stop()
        before = self._last_status.get(event.run.id)
        if before != event.state.status:
            self._last_status[event.run.id] = event.state.status
            self.refresh_bindings()
        if not event.state.is_over or event.run.id in self.ended:
            return
        self.ended.add(event.run.id)
        if not self.has_result(event.run, event.state):
            return
        follow = self.bar.active == self.view_of(self.live_of(event.run))
        if follow or before is not None:
            self.show_result(event.run, follow=follow)
        else:
            self.reload()  # it was over when it was found: what is shown stays

    # -- actions

    def action_next_view(self) -> None:
        self.show_view(self.bar.neighbour(1))

    def action_show_view(self, view: str) -> None:
        self.show_view(view)

    def action_pick_model(self) -> None:
        self.show_view(SETUP)
        self.setup.pick_model()

    def action_next_form(self) -> None:
        if isinstance(self.setup, Setups):
            self.show_view(SETUP)
            self.setup.choose_next()
            self.keep_focus()

    def action_advanced(self) -> None:
        self.show_view(SETUP)
        self.setup.form.toggle_folds()

    def action_enter(self) -> None:
        beside = {SETUP: self.setup, LIVE: self.setup if self.has_class("-wide") else self.live}
        view: Widget | None = beside.get(self.bar.active) or self.query_one("#views", ContentSwitcher).visible_content
        parts = [] if view is None else [each for each in view.query("*") if isinstance(each, DataTable | LiveTable | ScrolledLines)]
        if parts := [each for each in parts if each.display and each.focusable]:
            parts[0].focus()
        elif self.setup.display:
            self.setup.form.focus()

    def action_again(self) -> None:
        if (values := self.values_shown()) is not None:
            self.prefill(values)

    def action_reset(self) -> None:
        self.setup.reset()

    def action_next_chart(self) -> None:
        if isinstance(view := self.view_shown, TurnsCharts):
            view.next_chart()
            self.keep_focus()

    def copy(self, text: str) -> None:
        """Put a text on the terminal's clipboard (OSC 52), and say so."""
        self.app.copy_to_clipboard(text)
        self.shell.notify_text(text.replace("\n", " ; "), title="Copied, if the terminal allows it")


def common_bindings(prefix: str, *, views: str) -> list[Binding]:
    """The keys that every tab of experiments has: start, cancel, next view, model, folds, again, reset, into the view.

    Args:
        prefix: of the binding ids, for example `kv`.
        views: names of the views, for the help line.
    """
    return [
        Binding("f5", "start", "Start", id=f"{prefix}.start", tooltip="Start a run with the settings of the form"),
        Binding("f8", "cancel", "Cancel run", id=f"{prefix}.cancel", tooltip="Stop the run in the live view, after confirmation"),
        Binding("f4", "next_view", "View", id=f"{prefix}.view", tooltip=f"Show the next view: {views}"),
        Binding("f2", "pick_model", "Model", id=f"{prefix}.model", tooltip="Choose a model on this machine"),
        Binding("f3", "advanced", "More fields", show=False, id=f"{prefix}.advanced", tooltip="Expand or collapse all groups of fields"),
        Binding("f7", "again", "Again", id=f"{prefix}.again", tooltip="Fill the form with the settings of the displayed run"),
        Binding("f10", "reset", "Reset form", show=False, id=f"{prefix}.reset", tooltip="Reset every field but the model to its default"),
        Binding("down,enter", "enter", "Into the view", show=False, id=f"{prefix}.enter", tooltip="Go into the form or the table"),
    ]

"""The Quantize tab: set up, start, follow, compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import ContentSwitcher, DataTable

from core.quantize.compare_spec import QuantizeCompareSpec
from core.quantize.spec import QuantizeSpec
from core.runs.store import Run
from tui.quantize.artifact import ArtifactScreen
from tui.quantize.comparison import ComparisonView
from tui.quantize.control import COMPARE, LIVE, PARETO, RESULTS, SETUP, RunControl
from tui.quantize.live import LiveView
from tui.quantize.pareto_view import ParetoView
from tui.quantize.results import ResultsView
from tui.quantize.setup import SetupView
from tui.runs.watcher import RunEvent, RunStarted
from tui.services import services_of
from tui.widgets.threads import in_thread
from tui.widgets.view_bar import ViewBar

COMPARISON = QuantizeCompareSpec.capability
WIDE = 110
"""Columns from which on the form stays beside the other views."""


class QuantizePane(RunControl):
    """Form and fit check on the left, a run as it goes, results and comparisons on the right; one at a time in a narrow window."""

    HELP = (
        "Quantize the weights of a model and measure what that costs.\n\n"
        "Fill in the form (up and down move, left and right choose, enter on model, method or level lists what there is); F5 starts a run. "
        "It goes on without this program: close the terminal and find it again here. A run that was stopped goes on from its last finished block "
        "with r. F6 measures the usual methods on the same model and shows them side by side; Pareto sets all runs of the model beside each other."
    )
    DEFAULT_CSS = """
    QuantizePane { layout: vertical; }
    QuantizePane #body { height: 1fr; }
    QuantizePane SetupView, QuantizePane #views { width: 1fr; height: 1fr; }
    QuantizePane.-wide SetupView { width: 52; border-right: solid $panel; }
    QuantizePane.-wide #views { padding-left: 1; }
    QuantizePane.-hide-setup SetupView, QuantizePane.-hide-views #views { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "start", "Start", id="quantize.start", tooltip="Start a run with the settings of the form"),
        Binding("f8", "cancel", "Cancel run", id="quantize.cancel", tooltip="Stop the run that is shown live, after a question"),
        Binding("r", "resume", "Resume", id="quantize.resume", tooltip="Let the stopped run that is shown live go on from its last finished block"),
        Binding("f6", "compare", "Compare", id="quantize.compare", tooltip="Measure the usual methods on this model, side by side"),
        Binding("f4", "next_view", "View", id="quantize.view", tooltip="Show the next view: setup, live, results, all runs, comparison"),
        Binding("f2", "pick_model", "Model", id="quantize.model", tooltip="Choose a model of this machine"),
        Binding("f3", "advanced", "More fields", show=False, id="quantize.advanced", tooltip="Open or close every group of fields of the form"),
        Binding("f7", "again", "Again", id="quantize.again", tooltip="Fill the form with the settings of the run that is shown"),
        Binding("f9,y", "copy_path", "Copy path", id="quantize.copy", tooltip="Copy the path of the checkpoint to the clipboard"),
        Binding("o", "open_artifact", "Files", show=False, id="quantize.files", tooltip="Show the files of the checkpoint and how to load it"),
        Binding("v", "verify", "Verify", id="quantize.verify", tooltip="Check the tensors of the checkpoint, and let it predict text"),
        Binding("m", "next_chart", "Next chart", show=False, id="quantize.chart", tooltip="Draw the next figure"),
        Binding("f10", "reset", "Reset form", show=False, id="quantize.reset", tooltip="Set every field to its default; the model stays"),
        Binding("down,enter", "enter", "Into the view", show=False, id="quantize.enter", tooltip="Go into the form or the table"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.results = ResultsView(id=RESULTS)
        self.pareto = ParetoView(id=PARETO)
        self.comparison = ComparisonView(id=COMPARE)
        self._heard_last = ("", "")

    # -- what is on the screen

    def compose(self) -> ComposeResult:
        """View bar, then setup and the other views beside each other."""
        yield self.bar
        with Horizontal(id="body"):
            yield self.setup
            with ContentSwitcher(id="views", initial=LIVE):
                yield from self._views

    @property
    def _views(self) -> tuple[Widget, ...]:
        return self.live, self.results, self.pareto, self.comparison

    def on_mount(self) -> None:
        """Find the runs that go on."""
        self._find_runs(first=True)

    def on_resize(self, event: events.Resize) -> None:
        """Stack or spread the views."""
        wide = event.size.width >= WIDE
        self.set_class(wide, "-wide")
        self.bar.views = (LIVE, RESULTS, PARETO, COMPARE) if wide else (SETUP, LIVE, RESULTS, PARETO, COMPARE)
        self.show_view(LIVE if wide and self.bar.active == SETUP else self.bar.active)

    def show_view(self, view: str) -> None:
        """Bring a view to the front; in a wide window the form stays beside it, except beside the comparison."""
        wide = self.has_class("-wide")
        if wide and view == SETUP:
            view = self.bar.active if self.bar.active in (LIVE, RESULTS, PARETO) else LIVE
        self.bar.active = view
        self.set_class(view == COMPARE if wide else view != SETUP, "-hide-setup")
        self.set_class(view == SETUP, "-hide-views")
        if view != SETUP:
            self.query_one("#views", ContentSwitcher).current = view
        self._keep_focus()
        self.refresh_bindings()

    def _keep_focus(self) -> None:
        """Take the focus to the pane itself when the widget that has it is put away, so that the keys go on working."""
        focused = self.screen.focused
        away: list[Widget] = [view for view in self._views if view.id != self.query_one("#views", ContentSwitcher).current]
        away += [view.table for view in (self.results, self.pareto) if view.hides_table]
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
            case "start" | "compare":
                return not services_of(self).read_only
            case "cancel":
                return self.live.going and not services_of(self).read_only
            case "resume":
                return self.bar.active == LIVE and self.can_resume and not services_of(self).read_only
            case "copy_path" | "open_artifact":
                return bool(self._checkpoint())
            case "verify":
                return bool(self._checkpoint()) and not services_of(self).read_only
            case "again":
                return self._values_shown() is not None
            case "next_chart":
                return self.bar.active in (RESULTS, PARETO, COMPARE)
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
    def _find_runs(self, *, first: bool = False) -> None:
        runs = services_of(self).runs
        ours = [run for run in runs.list_runs() if run.capability in (QuantizeSpec.capability, COMPARISON)]
        going = next((run for run in ours if not runs.state(run).is_over), None)
        self.app.call_from_thread(self._found, going, ours[0] if ours else None, first)

    def _found(self, going: Run | None, newest: Run | None, first: bool) -> None:
        """Show what goes on, else the newest; at the first look the form begins with its model."""
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
            self.results.reload()
            self.pareto.reload()
            self._find_runs()

    @on(SetupView.ModelChanged)
    def _model_changed(self, event: SetupView.ModelChanged) -> None:
        event.stop()
        self.results.load(event.model)
        self.pareto.load(event.model)
        self.comparison.load(event.model)

    @on(LiveView.Heard)
    def _heard(self, event: LiveView.Heard) -> None:
        event.stop()
        if self._heard_last != (event.run.id, event.state.status):
            self._heard_last = (event.run.id, event.state.status)
            self.refresh_bindings()
        if not event.state.is_over or event.run.id in self.ended:
            return
        self.ended.add(event.run.id)
        if event.state.status == "done":
            self._show_result(event.run, follow=self.bar.active == LIVE)

    @on(ParetoView.Opened)
    def _opened(self, event: ParetoView.Opened) -> None:
        event.stop()
        self._show_result(event.run, follow=True)

    def _show_result(self, run: Run, *, follow: bool) -> None:
        """Load the result of a run, and with `follow` go to it."""
        compared, model = run.capability == COMPARISON, str(run.values.get("model", ""))
        (self.comparison if compared else self.results).load(model, run.id)
        self.pareto.load(model)
        if follow:
            self.show_view(COMPARE if compared else RESULTS)

    # -- the other actions

    def action_next_view(self) -> None:
        """Show the next view."""
        self.show_view(self.bar.neighbour(1))

    def action_pick_model(self) -> None:
        """Open the list of models."""
        self.show_view(SETUP)
        self.setup.pick_model()

    def action_advanced(self) -> None:
        """Open the folds of the form, or close them."""
        self.show_view(SETUP)
        self.setup.form.toggle_folds()

    def action_enter(self) -> None:
        """From the pane into what it shows: the table of results or of a comparison, otherwise the form."""
        beside = {SETUP: self.setup, LIVE: self.setup if self.has_class("-wide") else self.live}
        view = beside.get(self.bar.active) or self.query_one("#views", ContentSwitcher).visible_content
        table = next((table for table in view.query(DataTable) if table.display), None) if view is not None else None
        if table is not None:
            table.focus()
        elif self.setup.display:
            self.setup.form.focus()

    def action_again(self) -> None:
        """Fill the form as it was for the run that is shown."""
        if (values := self._values_shown()) is not None:
            self.prefill(values)

    def action_copy_path(self) -> None:
        """Put the checkpoint's path on the clipboard (OSC 52)."""
        path = self._checkpoint()
        self.app.copy_to_clipboard(path)
        self.shell.notify_text(path, title="Copied, if the terminal allows it")

    def action_open_artifact(self) -> None:
        """Show what the checkpoint consists of."""
        self.app.push_screen(ArtifactScreen(self._checkpoint()))

    def action_verify(self) -> None:
        """Check the checkpoint as `llmopt verify` does."""
        self.verify(self._checkpoint())

    def action_next_chart(self) -> None:
        """Another figure in the chart of the view."""
        views: dict[str, ResultsView | ParetoView | ComparisonView] = {RESULTS: self.results, PARETO: self.pareto, COMPARE: self.comparison}
        if (view := views.get(self.bar.active)) is not None:
            view.next_chart()
            self._keep_focus()

    def action_reset(self) -> None:
        """Defaults in every field."""
        self.setup.reset()

    def _checkpoint(self) -> str:
        chosen = self.results.chosen
        return chosen.checkpoint if self.bar.active == RESULTS and chosen is not None else ""

    def _values_shown(self) -> Mapping[str, Any] | None:
        match self.bar.active:
            case "Results":
                return self.results.chosen.values if self.results.chosen is not None else None
            case "Pareto":
                return self.pareto.values()
            case "Compare":
                return self.comparison.values()
        follower = self.live.follower
        if self.bar.active != LIVE or follower is None or follower.run.capability != QuantizeSpec.capability:
            return None
        return follower.run.values

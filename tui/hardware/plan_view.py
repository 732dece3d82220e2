"""What would fit, and what to do: the estimator and the advisor over one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import ContentSwitcher, Static
from textual.worker import get_current_worker

from core.hardware.plan.advise import Recommendation
from core.sanitize import clean
from tui.hardware import advice_lines, fit_lines
from tui.hardware.plan import Answer, Planner, Request
from tui.hardware.plan_form import PlanForm
from tui.services.services import services_of
from tui.shell.shell import shell_of
from tui.widgets.hanging import hanging
from tui.widgets.live import LiveLines
from tui.widgets.table.live_table import LiveTable

FIRST_MODEL = "bundled:base"
_ANSWER_AFTER = 0.2
"""Seconds without an edit before the answer is worked out."""


class FitView(Vertical):
    """The budget, and what every other format would cost."""

    HELP = """
    Whether the model fits: each item of the budget with its derivation, and the largest context and concurrency.
    The table lists every format of weights and KV cache at the same context and concurrency; enter puts a format into the form.
    All figures are estimates.
    """
    DEFAULT_CSS = """
    FitView { height: 1fr; }
    FitView > LiveLines { height: auto; }
    FitView > LiveTable { height: 1fr; margin-top: 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="Fit")
        self.budget = LiveLines(id="budget")
        self.formats = LiveTable(id="formats")
        self.answer: Answer | None = None

    def compose(self) -> ComposeResult:
        yield self.budget
        yield self.formats

    def show(self, answer: Answer | None) -> None:
        self.answer = answer
        width = self.size.width
        if answer is None or not width:
            return
        budget = answer.estimate
        lines = fit_lines.budget(budget, width) if budget is not None else fit_lines.problem(answer.estimate_problem, width)
        self.budget.styles.height = len(lines)
        self.budget.show(lines)
        self.formats.display = budget is not None
        if budget is not None:
            first = self.formats.cursor is None
            self.formats.show_rows(fit_lines.format_head(width), fit_lines.format_rows(budget, width))
            if first:
                self.formats.move_to(("weights", budget.weights))

    def on_resize(self, _: events.Resize) -> None:
        self.show(self.answer)


class AdviceView(Vertical):
    """The recommendations, best first, and the one under the cursor in full."""

    HELP = """
    Ways to serve the model on this machine, best first for the chosen use; ones that are not possible come last, with the reason.
    Enter opens the tab that creates the checkpoint, filled in. y copies the commands, all steps in order. All figures are estimates.
    """
    DEFAULT_CSS = """
    AdviceView { height: 1fr; }
    AdviceView > LiveTable { height: auto; max-height: 9; }
    AdviceView > VerticalScroll { height: 1fr; margin-top: 1; }
    AdviceView Static { height: auto; }
    """

    def __init__(self) -> None:
        super().__init__(id="Advice")
        self.table = LiveTable(id="advice", empty="no advice yet")
        self.detail = Static(markup=False)
        self.answer: Answer | None = None

    def compose(self) -> ComposeResult:
        yield self.table
        with VerticalScroll():
            yield self.detail

    def show(self, answer: Answer | None) -> None:
        self.answer = answer
        if answer is None or not self.size.width:
            return
        self.table.show_rows(advice_lines.head(self.size.width), [(at, advice_lines.row(at + 1, each)) for at, each in enumerate(answer.advice)])
        self.table.styles.height = 1 + max(len(answer.advice), 1)
        self._describe()

    def selected(self) -> Recommendation | None:
        at = self.table.cursor
        return self.answer.advice[at] if self.answer is not None and isinstance(at, int) and at < len(self.answer.advice) else None

    def commands(self) -> str:
        """All steps of the recommendation under the cursor, one a line."""
        at = self.table.cursor
        if self.answer is None or not isinstance(at, int) or at >= len(self.answer.steps):
            return ""
        return "\n".join(step.command for step in self.answer.steps[at])

    def on_resize(self, _: events.Resize) -> None:
        self.show(self.answer)

    @on(LiveTable.Moved)
    def _moved(self, event: LiveTable.Moved) -> None:
        event.stop()
        self._describe()

    def _describe(self) -> None:
        chosen = self.selected()
        if self.answer is None or chosen is None:
            self.detail.update(f"! {clean(self.answer.advice_problem)}" if self.answer and self.answer.advice_problem else "")
            return
        at = self.answer.advice.index(chosen)
        self.detail.update(hanging(advice_lines.full(chosen, self.answer.steps[at]), max(self.size.width - 2, 20)))


class PlanView(Vertical):
    """The form, and one of the two answers."""

    DEFAULT_CSS = """
    PlanView { height: 1fr; }
    PlanView > ContentSwitcher { height: 1fr; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f2", "pick_model", "Model", id="hardware.model", tooltip="Choose a model on this machine"),
        Binding("y,f9", "copy", "Copy command", id="hardware.copy", tooltip="Copy the commands of the recommendation under the cursor"),
    ]

    def __init__(self, view: str) -> None:
        super().__init__(id="plan")
        self.form = PlanForm(FIRST_MODEL)
        self.fit = FitView()
        self.advice = AdviceView()
        self._view = view
        self._planner: Planner | None = None
        self._timer: Timer | None = None
        self.waiting = True
        """The answer to the form as it is has not come yet."""

    def compose(self) -> ComposeResult:
        yield self.form
        with ContentSwitcher(initial=self._view):
            yield self.fit
            yield self.advice

    def on_mount(self) -> None:
        self._planner = Planner(services_of(self))
        self.answer_now()

    @property
    def view(self) -> str:
        """Id of the answer that is shown: Fit or Advice."""
        return self.query_one(ContentSwitcher).current or self._view

    def open_view(self, view: str) -> None:
        self.query_one(ContentSwitcher).current = view

    def focus_first(self) -> None:
        (self.fit.formats if self.view == "Fit" else self.advice.table).focus()

    def fill(self, values: Mapping[str, object]) -> None:
        self.waiting = True
        self.form.put(values)

    def answer_now(self) -> None:
        request = self.form.request()
        if isinstance(request, str):
            self._show(Answer(Request(""), estimate_problem=request, advice_problem=request))
        else:
            self._work_out(request)

    def action_pick_model(self) -> None:
        self.form.pick_model()

    def action_copy(self) -> None:
        shell = shell_of(self)
        commands = self.advice.commands()
        if not commands:
            shell.notify_text("No command to copy.", severity="warning")
            return
        self.app.copy_to_clipboard(commands)
        shell.notify_text("Copied, if the terminal allows it (OSC 52): " + commands.replace("\n", " ; "))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        return self.view == "Advice" if action == "copy" and self.is_mounted else True

    @on(PlanForm.Changed)
    def _changed(self, event: PlanForm.Changed) -> None:
        event.stop()
        self.waiting = True
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_ANSWER_AFTER, self.answer_now, name="answer")

    @on(LiveTable.Chosen, "#formats")
    def _format_chosen(self, event: LiveTable.Chosen) -> None:
        event.stop()
        if isinstance(event.key, tuple):
            field, name = event.key
            self.form.put({field: name})

    @on(LiveTable.Chosen, "#advice")
    def _advice_chosen(self, event: LiveTable.Chosen) -> None:
        event.stop()
        chosen = self.advice.selected()
        shell = shell_of(self)
        if chosen is None:
            return
        if chosen.why_not is not None:
            shell.notify_text(f"Not possible here: {chosen.why_not}.", severity="warning")
        elif chosen.action is not None:
            shell.open_pane("quantize", prefill=dict(chosen.action))
        else:
            shell.notify_text("This needs no checkpoint: y copies the command." if chosen.command else chosen.reason)

    @work(thread=True, exclusive=True, group="plan", description="estimate and recommend", exit_on_error=False)
    def _work_out(self, request: Request) -> None:
        worker = get_current_worker()
        if self._planner is None:
            return
        answer = self._planner.answer(request)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._answered, answer)

    def _answered(self, answer: Answer) -> None:
        if answer.request != self.form.request():
            return
        self._show(answer)

    def _show(self, answer: Answer) -> None:
        self.waiting = False
        self.fit.show(answer)
        self.advice.show(answer)

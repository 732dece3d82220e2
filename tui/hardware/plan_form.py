"""The inputs of the plan: which model, on what, for what. Two columns of four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal
from textual.message import Message
from textual.widgets import Static

from tui.hardware.plan import CACHES, MACHINES, USES, WEIGHTS, Request
from tui.widgets.fields.choice import ChoiceEditor
from tui.widgets.fields.describe import FieldView
from tui.widgets.fields.editor import UNSET, Edited, Editor, Finished
from tui.widgets.fields.entry import NumberEditor
from tui.widgets.fields.model import ModelEditor

_DEFAULTS = Request(model="")
_FIELDS: tuple[tuple[FieldView, type[Any]], ...] = (
    (FieldView("model", "text", "Model: enter lists those of this machine", required=True), ModelEditor),
    (FieldView("context", "integer", "Tokens of each sequence, prompt and answer together", _DEFAULTS.context), NumberEditor),
    (FieldView("machine", "choice", "Plan for this machine or for a GPU by name", choices=MACHINES, default=_DEFAULTS.machine), ChoiceEditor),
    (FieldView("concurrency", "integer", "Sequences at once", _DEFAULTS.concurrency), NumberEditor),
    (FieldView("gpus", "integer", "GPUs that share the model", _DEFAULTS.gpus), NumberEditor),
    (FieldView("weights", "choice", "Format of the weights", choices=WEIGHTS, default=_DEFAULTS.weights), ChoiceEditor),
    (FieldView("use", "choice", "What matters most, for the advice", choices=USES, default=_DEFAULTS.use), ChoiceEditor),
    (FieldView("kv", "choice", "Format of the KV cache", choices=CACHES, default=_DEFAULTS.kv), ChoiceEditor),
)
_LABELS = {"gpus": "GPUs", "kv": "KV cache", "concurrency": "at once"}
_NUMBERS = ("context", "concurrency", "gpus")


class PlanForm(Grid):
    """Eight fields; every edit is told as `Changed`."""

    HELP = """
    What to plan for. Up and down go through the fields, left and right choose, enter on the model lists the models of this machine.
    "at once" is the number of sequences served together; the context counts prompt and answer of one of them.
    """
    DEFAULT_CSS = """
    PlanForm { grid-size: 2; grid-columns: 1fr 1fr; grid-rows: 1; grid-gutter: 0 2; height: 4; }
    PlanForm > Horizontal { height: 1; }
    PlanForm .plan--label { width: 9; color: $text-muted; }
    PlanForm > Horizontal:focus-within .plan--label { text-style: bold; color: $text-accent; }
    PlanForm Input { padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "go(2)", "Next field", show=False, id="plan.down", tooltip="The field below"),
        Binding("up", "go(-2)", "Previous field", show=False, id="plan.up", tooltip="The field above"),
    ]

    @dataclass
    class Changed(Message):
        """A value was edited."""

    def __init__(self, model: str) -> None:
        super().__init__(id="plan-form")
        self.editors: dict[str, Editor] = {view.name: editor(view) for view, editor in _FIELDS}
        self.editors["model"].put(model)

    def compose(self) -> ComposeResult:
        """Label and editor, eight times."""
        for name, editor in self.editors.items():
            with Horizontal():
                yield Static(_LABELS.get(name, name), classes="plan--label", markup=False)
                yield editor.as_widget()

    def request(self) -> Request | str:
        """The form as a request, or the sentence that says what is wrong with it."""
        values: dict[str, Any] = {}
        for name, editor in self.editors.items():
            value = editor.get()
            if value is not UNSET:
                values[name] = value
        if not values.get("model"):
            return "No model is chosen: press enter on the model, or F2."
        for name in _NUMBERS:
            if not isinstance(values.get(name, 1), int) or values.get(name, 1) < 1:
                return f"{_LABELS.get(name, name)} must be a whole number of at least 1."
        return Request(**values)

    def put(self, values: Mapping[str, Any]) -> None:
        """Fill in some of the fields."""
        for name, value in values.items():
            if name in self.editors:
                self.editors[name].put(value)
        self.post_message(self.Changed())

    def focus_field(self, name: str) -> None:
        """Put the cursor on a field."""
        self.editors[name].as_widget().focus()

    def pick_model(self) -> None:
        """Open the list of models."""
        self.focus_field("model")
        editor = self.editors["model"]
        if isinstance(editor, ModelEditor):
            editor.action_finish()

    def action_go(self, by: int) -> None:
        """Move between the fields of a column; beyond the last one the focus leaves the form."""
        widgets = [editor.as_widget() for editor in self.editors.values()]
        at = next((index for index, widget in enumerate(widgets) if widget.has_focus), 0)
        if 0 <= at + by < len(widgets):
            widgets[at + by].focus()
        elif by > 0:
            widgets[-1].focus()
            self.screen.focus_next()
        else:
            widgets[0].focus()
            self.screen.focus_previous()

    @on(Edited)
    def _edited(self, event: Edited) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Finished)
    def _finished(self, event: Finished) -> None:
        event.stop()
        self.screen.focus_next()

"""The inputs of the plan: which model, on what, for what. Two columns of four."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tui.hardware.plan import CACHES, MACHINES, USES, WEIGHTS, Request
from tui.widgets.form.field_grid import FieldGrid, GridField
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.entry import NumberEditor
from tui.widgets.form.fields.model import ModelEditor

_DEFAULTS = Request(model="")
_FIELDS: tuple[tuple[FieldView, type[Any]], ...] = (
    (FieldView("model", "text", "Model: enter lists the models on this machine", required=True), ModelEditor),
    (FieldView("context", "integer", "Tokens per sequence, prompt and output together", _DEFAULTS.context), NumberEditor),
    (FieldView("machine", "choice", "Plan for this machine or for a GPU by name", choices=MACHINES, default=_DEFAULTS.machine), ChoiceEditor),
    (FieldView("concurrency", "integer", "Sequences at once", _DEFAULTS.concurrency), NumberEditor),
    (FieldView("gpus", "integer", "Tensor-parallel GPUs", _DEFAULTS.gpus), NumberEditor),
    (FieldView("weights", "choice", "Format of the weights", choices=WEIGHTS, default=_DEFAULTS.weights), ChoiceEditor),
    (FieldView("use", "choice", "What to optimize for, in the advice", choices=USES, default=_DEFAULTS.use), ChoiceEditor),
    (FieldView("kv", "choice", "Format of the KV cache", choices=CACHES, default=_DEFAULTS.kv), ChoiceEditor),
)
_LABELS = {"gpus": "GPUs", "kv": "KV cache", "concurrency": "at once"}
_NUMBERS = ("context", "concurrency", "gpus")


class PlanForm(FieldGrid):
    """Eight fields; every edit is reported as `Changed`."""

    HELP = """
    What to plan for. Up and down move between fields, left and right choose, enter on the model lists the models on this machine.
    "at once" is the number of concurrent sequences; the context is prompt and output of one of them.
    """
    DEFAULT_CSS = """
    PlanForm { height: 4; }
    PlanForm .grid--label { width: 9; }
    """

    def __init__(self, model: str) -> None:
        fields = [GridField(_LABELS.get(view.name, view.name), view, editor) for view, editor in _FIELDS]
        super().__init__(fields, filled=False, id="plan-form")
        self.editors["model"].put(model)

    def request(self) -> Request | str:
        """The form as a request, or the sentence that says what is wrong with it."""
        values = self.values()
        if not values.get("model"):
            return "No model chosen: press enter on the model, or F2."
        for name in _NUMBERS:
            if not isinstance(values.get(name, 1), int) or values.get(name, 1) < 1:
                return f"{_LABELS.get(name, name)} must be a whole number of at least 1."
        return Request(**values)

    def put(self, values: Mapping[str, object]) -> None:
        super().put(values)
        self.post_message(self.Changed(self, ""))

    def focus_field(self, name: str) -> None:
        self.editors[name].as_widget().focus()

    def pick_model(self) -> None:
        self.focus_field("model")
        editor = self.editors["model"]
        if isinstance(editor, ModelEditor):
            editor.action_finish()

"""The fields of the simulator."""

from __future__ import annotations

from core.speculate.simulate.simulate import LARGEST_GAMMA, SCENARIOS
from tui.speculate.simulate.lines import OWN, Setting
from tui.widgets.form.field_grid import GridField
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.entry import NumberEditor

_DEFAULT = Setting()

FIELDS = (
    GridField(
        "scenario",
        FieldView("scenario", "choice", "Workload, with its typical acceptance", OWN, choices=(OWN, *SCENARIOS)),
        ChoiceEditor,
        span_below=76,
    ),
    GridField("acceptance α", FieldView("alpha", "number", "Share of drafted tokens that the target accepts, 0 to 1", _DEFAULT.alpha), NumberEditor),
    GridField("drafted γ", FieldView("gamma", "integer", f"Draft tokens per round, 1 to {LARGEST_GAMMA}", _DEFAULT.gamma), NumberEditor),
    GridField("cost ratio c", FieldView("cost_ratio", "number", "Time per draft token relative to a target step", _DEFAULT.cost_ratio), NumberEditor),
    GridField(
        "verification v",
        FieldView("verification", "number", "Time to verify gamma + 1 tokens relative to a target step; 1 if memory-bound", _DEFAULT.verification),
        NumberEditor,
    ),
    GridField("batch", FieldView("batch", "integer", "Sequences decoded together", _DEFAULT.batch), NumberEditor),
)

"""The fields of the simulator."""

from __future__ import annotations

from core.speculate.simulate.simulate import LARGEST_GAMMA, SCENARIOS
from tui.speculate.simulate.lines import OWN, Setting
from tui.widgets.form.field_grid import GridField
from tui.widgets.form.fields.choice import ChoiceEditor
from tui.widgets.form.fields.describe import FieldView
from tui.widgets.form.fields.entry import NumberEditor

_DEFAULT = Setting()
_TOLD = {
    "scenario": "Workload, with its typical acceptance",
    "alpha": "Share of drafted tokens that the target accepts, 0 to 1",
    "gamma": f"Draft tokens per round, 1 to {LARGEST_GAMMA}",
    "cost_ratio": "Time per draft token relative to a target step",
    "verification": "Time to verify gamma + 1 tokens relative to a target step; 1 if memory-bound",
    "batch": "Sequences decoded together",
}

FIELDS = (
    GridField("scenario", FieldView("scenario", "choice", _TOLD["scenario"], OWN, choices=(OWN, *SCENARIOS)), ChoiceEditor, span_below=76),
    GridField("acceptance α", FieldView("alpha", "number", _TOLD["alpha"], _DEFAULT.alpha), NumberEditor),
    GridField("drafted γ", FieldView("gamma", "integer", _TOLD["gamma"], _DEFAULT.gamma), NumberEditor),
    GridField("cost ratio c", FieldView("cost_ratio", "number", _TOLD["cost_ratio"], _DEFAULT.cost_ratio), NumberEditor),
    GridField("verification v", FieldView("verification", "number", _TOLD["verification"], _DEFAULT.verification), NumberEditor),
    GridField("batch", FieldView("batch", "integer", _TOLD["batch"], _DEFAULT.batch), NumberEditor),
)

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
    "scenario": "Kind of work, with the acceptance that one may assume for it",
    "alpha": "Share of drafted tokens that the target accepts, 0 to 1",
    "gamma": f"Drafted tokens a round, 1 to {LARGEST_GAMMA}",
    "cost_ratio": "Time of one drafted token over that of one step of the target",
    "verification": "Time to verify gamma + 1 tokens over that of one step of the target; 1 where reading the weights decides",
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

"""What speculation would bring, without a run: figures in, a table and a chart out at once."""

from __future__ import annotations

import textwrap
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from core.errors import LlmoptError
from core.sanitize import clean
from core.speculate.simulate import LARGEST_GAMMA, SCENARIOS
from tui.speculate import simulation
from tui.speculate.measured import Measured
from tui.speculate.origins import Origins
from tui.speculate.simulation import OWN, Setting
from tui.widgets.chart import Chart
from tui.widgets.field_grid import FieldGrid, GridField
from tui.widgets.fields.choice import ChoiceEditor
from tui.widgets.fields.describe import FieldView
from tui.widgets.fields.entry import NumberEditor
from tui.widgets.hanging import hanging
from tui.widgets.live import LiveLines

_DEFAULT = Setting()
_FIELDS = (
    GridField(
        "scenario",
        FieldView("scenario", "choice", "Kind of work, with the acceptance that one may assume for it", OWN, choices=(OWN, *SCENARIOS)),
        ChoiceEditor,
    ),
    GridField("acceptance α", FieldView("alpha", "number", "Share of drafted tokens that the target accepts, 0 to 1", _DEFAULT.alpha), NumberEditor),
    GridField("drafted γ", FieldView("gamma", "integer", f"Drafted tokens a round, 1 to {LARGEST_GAMMA}", _DEFAULT.gamma), NumberEditor),
    GridField(
        "cost ratio c", FieldView("cost_ratio", "number", "Time of one drafted token over that of one step of the target", _DEFAULT.cost_ratio), NumberEditor
    ),
    GridField(
        "verification v",
        FieldView(
            "verification", "number", "Time to verify gamma + 1 tokens over that of one step of the target; 1 where reading the weights decides",
            _DEFAULT.verification,
        ),
        NumberEditor,
    ),
    GridField("batch", FieldView("batch", "integer", "Sequences decoded together", _DEFAULT.batch), NumberEditor),
)  # fmt: skip
_LOW = 27
"""Lines below which table and chart take turns."""


class SimulatorView(Vertical):
    """Fields, the plain sentence, the table, the chart."""

    HELP = (
        "What speculation would bring, computed from acceptance and costs: a simulation, not a measurement. Nothing is run.\n\n"
        "α is the share of drafted tokens that the target accepts, γ how many are drafted a round, c the time of a drafted token and v the time to "
        "verify a draft, both over the time of a step of the target. A scenario gives α and γ that one may assume for that kind of work. F6 takes "
        "over what the newest run measured and sets the simulated speed-up beside the measured one; m shows the chart where it takes turns with the table."
    )
    DEFAULT_CSS = """
    SimulatorView { height: 1fr; }
    SimulatorView .simulator--told { height: auto; max-height: 9; }
    SimulatorView LiveLines { height: auto; margin-top: 1; }
    SimulatorView Chart { height: 1fr; min-height: 6; margin-top: 1; }
    SimulatorView.-low Chart, SimulatorView.-low LiveLines { margin-top: 0; }
    SimulatorView.-low.-table Chart, SimulatorView.-low.-chart LiveLines { display: none; }
    SimulatorView.-wrong Chart, SimulatorView.-wrong LiveLines { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-table")
        self.fields = FieldGrid(_FIELDS, columns=2, wide=(90, 3))
        self.table = LiveLines()
        self.chart = Chart()
        self._told = Static(classes="simulator--told", markup=False)
        self._origins = Origins()
        self._measured: Measured | None = None
        self._per_round = 0.0

    def compose(self) -> ComposeResult:
        """Fields, words, table, chart."""
        yield self.fields
        yield self._told
        yield self.table
        yield self.chart

    def on_mount(self) -> None:
        """Simulate what the fields begin with."""
        self.simulate()

    def on_resize(self) -> None:
        """Table and chart where there is room for both."""
        self.set_class(self.size.height < _LOW, "-low")
        self.simulate()

    def next_chart(self) -> None:
        """Where table and chart take turns: the other one."""
        chart = self.has_class("-table")
        self.set_class(chart, "-chart")
        self.set_class(not chart, "-table")

    def take(self, measured: Measured) -> None:
        """Fill in what a run measured, and show the simulated speed-up beside the measured one."""
        self._measured, self._per_round = measured, measured.per_round
        setting = measured.setting
        self._origins = Origins().by_run(("alpha", "gamma", "cost_ratio", "verification"), measured.run_id)
        self.fields.put(
            {"scenario": OWN} | {name: _short(getattr(setting, name)) for name in ("alpha", "gamma", "cost_ratio", "verification", "batch")}
        )
        self.simulate()

    def simulate(self) -> None:
        """Answer the fields as they stand."""
        width, height = self.size
        if not width:
            return
        try:
            setting = simulation.setting_of(self.fields.values(), self._per_round)
        except LlmoptError as error:
            self.set_class(True, "-wrong")
            self._told.update(Content.styled(f"! {clean(str(error))}", "$text-error"))
            return
        self.set_class(False, "-wrong")
        told = self._words(setting, width)
        self._told.update(told)
        room = height - self.fields.rows - told.plain.count("\n") - 1
        lines = simulation.table(setting, width, simulation.ALPHAS)
        if len(lines) > room:
            lines = simulation.table(setting, width, simulation.FEW_ALPHAS)
        if self.table.styles.height is None or self.table.styles.height.value != len(lines):
            self.table.styles.height = len(lines)
        self.table.show(lines)
        self.chart.set_plot(simulation.plot(setting, self._measured.curve if self._measured is not None else ()))

    @on(FieldGrid.Changed)
    def _changed(self, event: FieldGrid.Changed) -> None:
        event.stop()
        values = self.fields.values()
        if event.name == "scenario":
            name = str(values.get("scenario"))
            self.fields.put(simulation.of_scenario(name))
            self._origins = self._origins.by_scenario(name)
        else:
            self._origins = self._origins.edited(event.name)
            if event.name in ("alpha", "gamma"):
                self.fields.put({"scenario": OWN})
            if event.name in ("cost_ratio", "verification"):
                self._per_round = 0.0
        self.simulate()

    def _words(self, setting: Setting, width: int) -> Content:
        sentence, slower = simulation.verdict(setting)
        mark = ("↓ " if slower else "") + sentence
        rows = self._origins.told()
        if self._measured is not None:
            rows.append(("measured", self._measured.beside()))
        head = Content.styled("\n".join(textwrap.wrap(mark, max(width, 8))), "bold $text-warning" if slower else "bold")
        return Content("\n").join([head, hanging(rows, width)])


def _short(value: Any) -> Any:
    """A measured figure with the digits that count."""
    return float(f"{value:.4g}") if isinstance(value, float) else value

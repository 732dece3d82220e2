"""What speculation would bring, without a run: figures in, a table and a chart out at once."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from core.errors import LlmoptError
from core.sanitize import clean
from core.speculate.bench.measured import Measured
from tui.speculate.simulate import feed
from tui.speculate.simulate import lines as simulation
from tui.speculate.simulate.fields import FIELDS
from tui.speculate.simulate.lines import OWN, Setting
from tui.speculate.simulate.origins import NAMES, Origins
from tui.widgets.chart.chart import Chart
from tui.widgets.form.field_grid import FieldGrid
from tui.widgets.hanging import hanging
from tui.widgets.live import LiveLines

_LOW = 27
"""Lines below which table and chart take turns."""
_BROAD = 108
"""Columns from which they are next to each other."""
_TABLE = 68
"""Columns of the whole table."""


class SimulatorView(Vertical):
    """Fields, the plain sentence, the table, the chart."""

    HELP = (
        "The speed-up of speculation, computed from acceptance and costs: a simulation, not a measurement. Nothing is run.\n\n"
        "α is the share of drafted tokens that the target accepts, γ the draft tokens per round, c the time per draft token and v the time to verify "
        "a draft, both relative to a target step; at another γ and in a batch v grows with compute. A scenario sets typical α and γ for a "
        "workload.\n\n"
        "F6 loads the measurements of a run and compares the simulated speed-up with the measured one; m shows the chart instead of the table."
    )
    DEFAULT_CSS = """
    SimulatorView { height: 1fr; }
    SimulatorView .simulator--words { height: auto; max-height: 9; }
    SimulatorView > Container { layout: vertical; height: 1fr; margin-top: 1; }
    SimulatorView LiveLines { width: 1fr; }
    SimulatorView Chart { height: 1fr; min-height: 6; margin-top: 1; }
    SimulatorView.-broad > Container { layout: horizontal; }
    SimulatorView.-broad LiveLines { width: 68; }
    SimulatorView.-broad Chart { width: 1fr; margin-top: 0; }
    SimulatorView.-low > Container { margin-top: 0; }
    SimulatorView.-low Chart { margin-top: 0; }
    SimulatorView.-low.-table Chart, SimulatorView.-low.-chart LiveLines { display: none; }
    SimulatorView.-wrong > Container { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-table")
        self.fields = FieldGrid(FIELDS, columns=2, wide=(90, 3))
        self.table = LiveLines()
        self.chart = Chart()
        self._answer = Static(classes="simulator--words", markup=False)
        self._origins = Origins()
        self._measured: Measured | None = None
        self._lines = 0
        self._curve: tuple[tuple[int, float], ...] = ()
        self._exact: dict[str, float] = {}

    def compose(self) -> ComposeResult:
        yield self.fields
        yield self._answer
        with Container():
            yield self.table
            yield self.chart

    def on_mount(self) -> None:
        self.simulate()

    def on_resize(self) -> None:
        broad = self.size.width >= _BROAD
        self.set_class(broad, "-broad")
        self.set_class(not broad and self.size.height < _LOW, "-low")
        self.simulate()

    def next_chart(self) -> None:
        chart = self.has_class("-table")
        self.set_class(chart, "-chart")
        self.set_class(not chart, "-table")

    def take(self, run_id: str, measured: Measured, rows: Sequence[Measured]) -> None:
        """Fill in what a run measured, and show the simulated speed-up next to the measured one.

        Args:
            run_id: of the run.
            measured: one of its settings.
            rows: all of them.

        Raises:
            RequestError: nothing was drafted in that run.
        """
        setting = feed.setting_of(measured)
        batch = "" if measured.result.batch == 1 else f", at its batch of {measured.result.batch}"
        self._measured, self._curve = measured, feed.curve(measured, rows)
        self._origins = Origins().by_run(NAMES, f"in {run_id}{batch}")
        self._exact = {name: getattr(setting, name) for name in NAMES}
        self.fields.put({"scenario": OWN} | {name: _short(value) for name, value in self._exact.items()})
        self.simulate()

    def simulate(self) -> None:
        width, height = self.size
        if not width:
            return
        try:
            setting = simulation.setting_of(self._values())
        except LlmoptError as error:
            self.set_class(True, "-wrong")
            self._answer.update(Content.styled(f"! {clean(str(error))}", "$text-error"))
            return
        self.set_class(False, "-wrong")
        answer = self._words(setting, width)
        self._answer.update(answer)
        room = height - self.fields.rows - answer.plain.count("\n") - (1 if self.has_class("-low") else 2)
        lines = simulation.table(setting, min(width, _TABLE), room)
        if self._lines != len(lines):
            self._lines = len(lines)
            self.table.styles.height = len(lines)
        self.table.show(lines)
        self.chart.set_plot(simulation.plot(setting, self._curve))

    def _values(self) -> dict[str, object]:
        """What the fields hold; a measured figure that is shown in few digits counts with all of them."""
        exact = self._exact
        return {name: exact[name] if name in exact and value == _short(exact[name]) else value for name, value in self.fields.values().items()}

    @on(FieldGrid.Changed)
    def _changed(self, event: FieldGrid.Changed) -> None:
        event.stop()
        values = self.fields.values()
        if event.name == "scenario":
            name = str(values[event.name])
            self.fields.put(simulation.of_scenario(name))
            self._origins = self._origins.by_scenario(name)
        else:
            self._origins = self._origins.edited(event.name)
            if event.name in ("alpha", "gamma"):
                self.fields.put({"scenario": OWN})
        self.simulate()

    def _words(self, setting: Setting, width: int) -> Content:
        sentence, slower = simulation.verdict(setting)
        mark = ("↓ " if slower else "") + sentence
        rows = self._origins.in_words()
        if self._measured is not None:
            rows.append(("measured", feed.beside(self._measured)))
        if setting.batch > 1 and setting.verification <= 1:
            rows.append(("note", "with v = 1 compute is never the limit, so the batch has no effect: give the measured v"))
        head = Content.styled("\n".join(textwrap.wrap(mark, max(width, 8))), "bold $text-warning" if slower else "bold")
        return Content("\n").join([head, hanging(rows, width)])


def _short(value: float) -> float:
    """A measured figure with the digits that count; a whole number stays one."""
    return value if isinstance(value, int) else float(f"{value:.4g}")

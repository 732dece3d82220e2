"""The usual quantizations of one model, side by side: a table and four charts."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from core.quantize.compare.result import QuantizeCompareResult
from core.quantize.compare.spec import SETS, QuantizeCompareSpec
from core.runs.state.store import Run
from core.spec import Values, short_name
from tui.experiment.finished import Finished, ReadsRuns, ResultTable, newest
from tui.experiment.names import model
from tui.experiment.sentences import convention
from tui.quantize.compare.charts import COLUMNS, plots
from tui.widgets import words
from tui.widgets.chart.chart import Chart

_ROOMY = (100, 28)
"""Columns and lines from which on the four charts stand together."""


Compared = Finished[QuantizeCompareResult]


class ComparisonView(ReadsRuns[Compared | None]):
    """The newest comparison of the form's model. In a small window the charts take turns."""

    HELP = (
        "Common quantizations of one model, measured alike: bytes including scales, mean absolute and relative error of the weights, error and "
        "cosine of the linears' outputs, perplexity, KL divergence, top-1 agreement. + a8: inputs are also rounded to 8 bits, which affects only the "
        "last three.\n\n"
        "F7 fills the form with the highlighted row, to write that checkpoint; m shows the next chart if only one fits."
    )
    DEFAULT_CSS = """
    ComparisonView { height: 1fr; }
    ComparisonView .comparison--head { height: auto; }
    ComparisonView Table { max-height: 50%; overflow-x: auto; }
    ComparisonView > Container { layout: grid; grid-size: 2 2; grid-gutter: 1 2; height: 1fr; margin-top: 1; }
    ComparisonView.-small > Container { grid-size: 1 1; margin-top: 0; }
    ComparisonView.-small Chart { display: none; }
    ComparisonView.-small Chart.-chosen { display: block; }
    ComparisonView.-nothing Table, ComparisonView.-nothing > Container { display: none; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes="-nothing")
        self._head = Static(classes="comparison--head", markup=False)
        self.table = ResultTable(COLUMNS)
        self._charts = tuple(Chart() for _ in range(4))
        self._compared: Compared | None = None
        self._chart = 0

    def compose(self) -> ComposeResult:
        yield self._head
        yield self.table
        with Container():
            yield from self._charts

    def on_resize(self) -> None:
        self.set_class(self.size.width < _ROOMY[0] or self.size.height < _ROOMY[1], "-small")
        self._fill()

    def read_runs(self, runs: Sequence[Run], run_id: str | None) -> Compared | None:
        return newest(runs, QuantizeCompareSpec.capability, self.model_name, QuantizeCompareResult, run_id)

    def show_found(self, found: Compared | None, run_id: str | None) -> None:  # noqa: ARG002
        self._compared = found
        self.set_class(found is None, "-nothing")
        if found is None:
            counts = " or ".join(str(len(variants)) for variants in SETS.values())
            wanted = f"{counts} quantizations of {short_name(self.model_name)}"
            self._head.update(f"F6 measures {wanted} side by side: size, errors, perplexity, divergence. No checkpoint is kept.")
            return
        for chart, plot in zip(self._charts, plots(found.result.charts), strict=True):
            chart.set_plot(plot)
        self._choose(self._chart)
        self._fill()
        self.refresh_bindings()

    def next_chart(self) -> None:
        self._choose((self._chart + 1) % len(self._charts))

    def values(self) -> Values | None:
        """The form's values that carry out the highlighted quantization."""
        if self._compared is None:
            return None
        row = self._compared.result.rows[max(self.table.cursor_row, 0)]
        try:
            asked = QuantizeCompareSpec.model_validate(self._compared.run.values)
        except ValidationError:
            return None
        variant = next((variant for variant in asked.variants if variant.name == row.name), None)
        return None if variant is None else asked.of(variant).model_dump()

    def _choose(self, index: int) -> None:
        self._chart = index
        for position, chart in enumerate(self._charts):
            chart.set_class(position == index, "-chosen")

    def _fill(self) -> None:
        if self._compared is None or not self.size.width:
            return
        rows = self._compared.result.rows
        self.table.show([(row.name, row) for row in rows])
        self.table.styles.height = 1 + len(rows)
        self._head.update(self._heading(self._compared))

    def _heading(self, compared: Compared) -> Content:
        result = compared.result
        title = f"{len(result.rows)} quantizations of {model(compared.run.values)}"
        original = (
            f"original: {words.size(result.bytes_before)}, perplexity {words.plus_minus(words.figure(result.ppl_before), result.ppl_before_se)}"
        )
        cost = f"took {words.duration(result.seconds)}, peak memory {words.size(result.peak_rss_bytes)}"
        how = f"measured on {convention(result.evaluation)}"
        lines = [Content.assemble((title, "bold"), f"  {original}  ", (cost, "dim")), Content.styled(how, "dim")]
        return Content("\n").join([*lines, *(Content.styled(note, "dim") for note in result.notes)])

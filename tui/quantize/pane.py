"""The Quantize tab: set up, start, follow, compare."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from core.quantize.compare.spec import QuantizeCompareSpec, VariantSet
from core.quantize.spec import QuantizeSpec
from tui.compression.pane import COMPARE, PARETO, RESULTS, CompressionPane, compression_bindings
from tui.experiment.names import LIVE, SETUP
from tui.quantize.compare.view import QuantizeComparisonView
from tui.quantize.live.view import LiveView
from tui.quantize.results.view import ResultsView
from tui.quantize.setup.options import comparison_options, usual_set
from tui.quantize.setup.setup import SetupView
from tui.widgets.form.table_picker import TablePicker

__all__ = ["COMPARE", "LIVE", "PARETO", "RESULTS", "SETUP", "QuantizePane"]


class QuantizePane(CompressionPane):
    """Form and fit check on the left, a run as it goes, results and comparisons on the right; one at a time in a narrow window."""

    HELP = (
        "Quantize the weights of a model and measure the quality loss.\n\n"
        "Fill in the form (up and down move, left and right choose, enter on model, method or level lists the choices); F5 starts a run. It "
        "continues without this program: close the terminal and find it again here. r resumes a stopped run from its last finished block. F6 "
        "compares common methods on the same model; Pareto compares all runs of the model."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        *compression_bindings(
            "quantize",
            Binding("f6", "compare", "Compare", id="quantize.compare", tooltip="Compare common methods on this model"),
            views="setup, live, results, all runs, comparison",
        ),
    ]

    def __init__(self) -> None:
        live = LiveView(id=LIVE)
        lives = {QuantizeSpec.capability: live, QuantizeCompareSpec.capability: live}
        super().__init__(SetupView(id=SETUP), lives, ResultsView(id=RESULTS), QuantizeComparisonView(id=COMPARE))

    def action_compare(self) -> None:
        spec = self.setup.spec()
        if not isinstance(spec, QuantizeSpec):
            self.start(None)
            return

        def chosen(which: VariantSet | None) -> None:
            if which is not None:
                self.start_comparison(spec, set=which)

        self.app.push_screen(TablePicker("compare", comparison_options, usual_set(spec.method)), chosen)

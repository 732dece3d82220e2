"""What finished runs measured: the figures of one, next to the others of the same model."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.content import Content

from core.models.card import ModelCard
from core.runs.state.store import Run
from core.spec import short_name
from tui.compression import errors
from tui.compression.outcomes import OutcomesView
from tui.experiment.names import model
from tui.quantize.results import figures, history, outcome
from tui.quantize.results.assignment import Bits, assignment
from tui.quantize.results.outcome import Outcome
from tui.widgets.hanging import hanging
from tui.widgets.scrolled_lines import ScrolledLines


class ResultsView(OutcomesView[Outcome]):
    """Linear by linear what the chosen run did: errors as a chart, bits of a mixed one as a map."""

    HELP = (
        "Results of the finished runs of this model. Up and down in the table choose a run; m shows the error of its linears and, for a mixed one, "
        "the bits of each linear; F7 fills the form with its settings; y copies the path of its checkpoint, o shows its files, v verifies it.\n\n"
        "Figures marked ≠ were measured under a different convention from the chosen run and cannot be compared with it."
    )
    DEFAULT_CSS = """
    ResultsView ScrolledLines { display: none; }
    ResultsView.-map ScrolledLines { display: block; }
    ResultsView.-map Chart { display: none; }
    ResultsView.-nothing ScrolledLines, ResultsView.-low.-table ScrolledLines { display: none; }
    """
    COLUMNS = history.COLUMNS

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._map: ScrolledLines[Bits] = ScrolledLines(assignment, (), classes="turns--chart")

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.table
        yield self._map
        yield self.chart

    def read_outcomes(self, runs: Sequence[Run], card: ModelCard | None) -> list[Outcome]:
        return outcome.of_model(runs, self.model_name, card)

    def cells(self, outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
        return history.cells(outcome, reference)

    def nothing_yet(self) -> str:
        return f"No finished quantization of {short_name(self.model_name)} yet. F5 starts one, F6 compares the methods."

    def figures(self) -> int:
        return 2 if self.chosen is not None and self.chosen.is_mixed else 1

    def draw_outcome(self, chosen: Outcome) -> None:
        head = Content.assemble((f"{chosen.recipe} of {model(chosen.values)}", "bold"), ("  " + chosen.run_id, "dim"))
        self.head.update(Content("\n").join([head, hanging(figures.lines(chosen), self.size.width or 60)]))
        self.set_class(chosen.is_mixed and self.figure == 0, "-map")
        self._map.show([(layer.name, layer.bits) for layer in chosen.layers])
        self.chart.set_plot(errors.plot([(layer.name, layer.error) for layer in chosen.layers], of=chosen.result.error_of))

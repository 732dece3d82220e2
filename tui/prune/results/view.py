"""What finished runs measured: the figures of one, next to the others of the same model."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.content import Content

from core.models.card import ModelCard
from core.prune.result import PruneResult
from core.runs.state.store import Run
from core.spec import short_name
from tui.compression.outcomes import OutcomesView
from tui.experiment.names import model
from tui.prune.results import figures, history, outcome
from tui.prune.results.outcome import Outcome
from tui.prune.results.pictures import Lines, pictures
from tui.widgets.hanging import hanging
from tui.widgets.live import Line
from tui.widgets.scrolled_lines import ScrolledLines

Shown = tuple[Lines, PruneResult] | None
"""What draws the lines, and of which result."""


class PruneResultsView(OutcomesView[Outcome]):
    """What the chosen run did, in one picture at a time."""

    HELP = (
        "Results of the finished runs of this model. Up and down in the table choose a run; m shows the next picture of it: what the model loses "
        "without each block, next to the cheap measures that are meant to predict it; the importance of what was kept, with what was removed marked "
        "×; the error of the linears, before and after swaps or compensation; their sparsity.\n\n"
        "Speeds are measured on this machine with original and result in turns; an estimate is called so. Figures marked ≠ were measured under a "
        "different convention from the chosen run and cannot be compared with it. F7 fills the form with its settings; y copies the path of its "
        "checkpoint, o shows its files, v verifies it."
    )
    DEFAULT_CSS = """
    PruneResultsView .turns--head { max-height: 56%; }
    PruneResultsView .turns--chart { min-height: 9; }
    PruneResultsView.-low.-table .turns--head { max-height: 70%; }
    PruneResultsView Table { min-height: 3; }
    PruneResultsView ScrolledLines { display: none; }
    PruneResultsView.-lines ScrolledLines { display: block; }
    PruneResultsView.-lines Chart { display: none; }
    PruneResultsView.-nothing ScrolledLines, PruneResultsView.-low.-table ScrolledLines { display: none; }
    """
    COLUMNS = history.COLUMNS

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.lines: ScrolledLines[Shown] = ScrolledLines(_draw, None, classes="turns--chart")

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.table
        yield self.lines
        yield self.chart

    def read_outcomes(self, runs: Sequence[Run], card: ModelCard | None) -> list[Outcome]:
        return outcome.of_model(runs, self.model_name, card)

    def cells(self, outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
        return history.cells(outcome, reference)

    def nothing_yet(self) -> str:
        return f"No finished pruning of {short_name(self.model_name)} yet. F5 starts one; enter on the method of the form lists all methods."

    def figures(self) -> int:
        return 1 if self.chosen is None else len(pictures(self.chosen.result))

    def draw_outcome(self, chosen: Outcome) -> None:
        head = Content.assemble((f"{chosen.recipe} of {model(chosen.values)}", "bold"), ("  " + chosen.run_id, "dim"))
        self.head.update(Content("\n").join([head, hanging(figures.lines(chosen), self.size.width or 60)]))
        picture = pictures(chosen.result)[self.figure]
        self.set_class(picture.lines is not None, "-lines")
        if picture.lines is not None:
            self.lines.show((picture.lines, chosen.result))
        if picture.plot is not None:
            self.chart.set_plot(picture.plot(chosen.result))


def _draw(shown: Shown, width: int) -> list[Line]:
    return [] if shown is None else shown[0](shown[1], width)

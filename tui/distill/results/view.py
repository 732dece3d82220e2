"""What finished distillations gained: the figures of one, its curve over those of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual.app import ComposeResult
from textual.content import Content

from core.distill.events import Place
from core.distill.result import HeldOutFigures
from core.models.card import ModelCard
from core.runs.state.store import Run
from core.spec import short_name
from tui.compression.outcomes import OutcomesView
from tui.distill import curves
from tui.distill.gap import gap_line
from tui.distill.places import place_lines
from tui.distill.results import figures, history, outcome
from tui.distill.results.outcome import Outcome
from tui.experiment.names import model
from tui.widgets.chart.plot import Plot
from tui.widgets.hanging import hanging
from tui.widgets.live import LiveLines
from tui.widgets.scrolled_lines import ScrolledLines

_CURVES: tuple[Callable[[Mapping[str, Sequence[HeldOutFigures]]], Plot], ...] = (curves.divergence, curves.gap, curves.agreement)
_TOGETHER = 5
"""Curves in one chart at most."""


class DistillResultsView(OutcomesView[Outcome]):
    """Figures of the chosen run, all runs of the teacher, and one picture at a time."""

    HELP = (
        "Results of the finished runs with this teacher. Up and down in the table choose a run; m shows the next picture: held-out KL divergence, "
        "gap closed and agreement step by step, of the chosen run and of others over each other, then the tokens on which the student still differs "
        "most from its teacher.\n\n"
        "The gap is the difference in ln perplexity between the untrained student and the teacher. Figures marked ≠ were measured under a different "
        "convention from the chosen run and cannot be compared with it. F7 fills the form with its settings; y copies the path of its checkpoint, o "
        "shows its files, v verifies it."
    )
    DEFAULT_CSS = """
    DistillResultsView .turns--head { max-height: 50%; margin-bottom: 0; }
    DistillResultsView LiveLines { margin-bottom: 1; }
    DistillResultsView Table { min-height: 3; }
    DistillResultsView.-low.-table .turns--head { max-height: 70%; }
    DistillResultsView ScrolledLines { display: none; height: 2fr; }
    DistillResultsView.-lines ScrolledLines { display: block; }
    DistillResultsView.-lines Chart { display: none; }
    DistillResultsView.-nothing ScrolledLines, DistillResultsView.-nothing LiveLines { display: none; }
    DistillResultsView.-low.-table ScrolledLines { display: none; }
    """
    COLUMNS = history.COLUMNS

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.gap = LiveLines()
        self.places: ScrolledLines[tuple[Place, ...]] = ScrolledLines(place_lines, ())

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.gap
        yield self.table
        yield self.places
        yield self.chart

    def read_outcomes(self, runs: Sequence[Run], card: ModelCard | None) -> list[Outcome]:  # noqa: ARG002
        return outcome.of_model(runs, self.model_name)

    def cells(self, outcome: Outcome, reference: Outcome) -> tuple[str, ...]:
        return history.cells(outcome, reference)

    def nothing_yet(self) -> str:
        return f"No finished distillation with {short_name(self.model_name)} as the teacher yet. F5 starts one; F6 compares ways to learn."

    def figures(self) -> int:
        return len(_CURVES) + 1

    def draw_outcome(self, chosen: Outcome) -> None:
        head = Content.assemble((f"{chosen.recipe}, taught by {model(chosen.values)}", "bold"), ("  " + chosen.run_id, "dim"))
        self.head.update(Content("\n").join([head, hanging(figures.lines(chosen), self.size.width or 60)]))
        self.gap.show_all([gap_line(chosen.metrics.gap_closed, chosen.metrics.gap_closed_se, self.size.width or 60)])
        self.set_class(self.figure == len(_CURVES), "-lines")
        if self.figure < len(_CURVES):
            self.chart.set_plot(_CURVES[self.figure](self._curves(chosen)))
        else:
            self.places.show(chosen.result.places)

    def _curves(self, chosen: Outcome) -> dict[str, Sequence[HeldOutFigures]]:
        """The chosen run's curve, then those of the newest others, each under a name of its own."""
        others = [each for each in self.outcomes if each is not chosen][: _TOGETHER - 1]
        found: dict[str, Sequence[HeldOutFigures]] = {}
        for each in (chosen, *others):
            name = each.recipe if each.recipe not in found else f"{each.recipe} {each.run_id[-4:]}"
            found[name] = each.result.held_out
        return found

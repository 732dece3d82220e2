"""The usual ways to distill one student, side by side: a table and four charts."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from textual.content import Content

from core.distill.compare.result import DistillCompareResult, DistillRow
from core.distill.compare.spec import PROGRAMS, DistillCompareSpec
from core.errors import RequestError
from core.runs.state.store import Run
from core.sanitize import clean
from core.spec import Values, short_name
from tui.compression.comparison import ComparisonView, Plots, headed
from tui.distill.compare.charts import COLUMNS, plots
from tui.experiment.finished import Finished
from tui.experiment.sentences import convention
from tui.widgets import words


class DistillComparisonView(ComparisonView[DistillCompareResult, DistillRow]):
    """The newest comparison with the form's teacher."""

    HELP = (
        "One student trained in several ways on the same text: without a teacher, with its predictions, with a mixture of both, with its hidden "
        "states too. Below text: how much lower the ln perplexity is than that of text alone, over the same tokens, with its standard error.\n\n"
        "F7 fills the form with the highlighted row, to write that checkpoint; m shows the next chart if only one fits."
    )

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(DistillCompareSpec.capability, DistillCompareResult, COLUMNS, id=id)

    def rows(self, result: DistillCompareResult) -> Sequence[tuple[str, DistillRow]]:
        return [(row.title, row) for row in result.rows]

    def plots(self, result: DistillCompareResult) -> Plots:
        return plots(result)

    def nothing_yet(self) -> str:
        return f"F6 trains one student of {short_name(self.model_name)} in {len(PROGRAMS)} ways on the same text. No checkpoint is kept."

    def values_of(self, run: Run, row: DistillRow) -> Values | None:
        try:
            asked = DistillCompareSpec.model_validate(run.values)
            variant = next((each for each in PROGRAMS if each.title == row.title), None)
            return None if variant is None else asked.of(variant).model_dump()
        except (RequestError, ValidationError):
            return None

    def heading(self, compared: Finished[DistillCompareResult]) -> Content:
        result = compared.result
        before = f"perplexity {words.figure(result.ppl_teacher)} of the teacher, {words.figure(result.ppl_untrained)} untrained"
        return headed(
            f"{clean(result.student)}, {len(result.rows)} ways",
            before,
            f"{words.count(result.tokens)} tokens each, took {words.duration(result.seconds)}, peak memory {words.size(result.peak_rss_bytes)}",
            convention(result.evaluation),
            [clean(note) for note in result.notes],
        )

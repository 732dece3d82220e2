"""The usual prunings of one model, side by side: a table and four charts."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from textual.content import Content

from core.errors import RequestError
from core.prune.compare.result import PruneCompareResult, PruneRow
from core.prune.compare.spec import PROGRAMS, PruneCompareSpec
from core.prune.naming import scheme_name
from core.runs.state.store import Run
from core.sanitize import clean
from core.spec import Values, short_name
from tui.compression.comparison import ComparisonView, Plots, headed
from tui.experiment.finished import Finished
from tui.experiment.names import model
from tui.experiment.sentences import convention
from tui.prune.compare.charts import COLUMNS, plots
from tui.widgets import words


class PruneComparisonView(ComparisonView[PruneCompareResult, PruneRow]):
    """The newest comparison of the form's model."""

    HELP = (
        "Common prunings of one model, measured alike: what was removed, size, perplexity, KL divergence, top-1 agreement, and the speed measured "
        "next to the original.\n\n"
        "F7 fills the form with the highlighted row, to write that checkpoint; m shows the next chart if only one fits."
    )

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(PruneCompareSpec.capability, PruneCompareResult, COLUMNS, id=id)

    def rows(self, result: PruneCompareResult) -> Sequence[tuple[str, PruneRow]]:
        return [(row.name, row) for row in result.rows]

    def plots(self, result: PruneCompareResult) -> Plots:
        return plots(result)

    def nothing_yet(self) -> str:
        wanted = f"{len(PROGRAMS)} prunings of {short_name(self.model_name)}"
        return f"F6 measures {wanted} side by side: size, perplexity, divergence, speed. No checkpoint is kept."

    def values_of(self, run: Run, row: PruneRow) -> Values | None:
        try:
            asked = PruneCompareSpec.model_validate(run.values)
            requests = [asked.of(variant) for variant in asked.variants]
        except (RequestError, ValidationError):
            return None
        return next((request.model_dump() for request in requests if scheme_name(request) == row.name), None)

    def heading(self, compared: Finished[PruneCompareResult]) -> Content:
        result = compared.result
        before = f"{words.size(result.bytes_before)}, perplexity {words.plus_minus(words.figure(result.ppl_before), result.ppl_before_se)}"
        return headed(
            f"{len(result.rows)} prunings of {model(compared.run.values)}",
            f"original: {before}",
            f"took {words.duration(result.seconds)}, peak memory {words.size(result.peak_rss_bytes)}",
            convention(result.evaluation),
            [clean(note) for note in result.notes],
        )

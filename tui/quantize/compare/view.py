"""The usual quantizations of one model, side by side: a table and four charts."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from textual.content import Content

from core.quantize.compare.result import CompareRow, QuantizeCompareResult
from core.quantize.compare.spec import SETS, QuantizeCompareSpec
from core.runs.state.store import Run
from core.spec import Values, short_name
from tui.compression.comparison import ComparisonView, Plots, headed
from tui.experiment.finished import Finished
from tui.experiment.names import model
from tui.experiment.sentences import convention
from tui.quantize.compare.charts import COLUMNS, plots
from tui.widgets import words


class QuantizeComparisonView(ComparisonView[QuantizeCompareResult, CompareRow]):
    """The newest comparison of the form's model."""

    HELP = (
        "Common quantizations of one model, measured alike: bytes including scales, mean absolute and relative error of the weights, error and "
        "cosine of the linears' outputs, perplexity, KL divergence, top-1 agreement. + a8: inputs are also rounded to 8 bits, which affects only the "
        "last three.\n\n"
        "F7 fills the form with the highlighted row, to write that checkpoint; m shows the next chart if only one fits."
    )

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(QuantizeCompareSpec.capability, QuantizeCompareResult, COLUMNS, id=id)

    def rows(self, result: QuantizeCompareResult) -> Sequence[tuple[str, CompareRow]]:
        return [(row.name, row) for row in result.rows]

    def plots(self, result: QuantizeCompareResult) -> Plots:
        return plots(result.charts)

    def nothing_yet(self) -> str:
        counts = " or ".join(str(len(variants)) for variants in SETS.values())
        wanted = f"{counts} quantizations of {short_name(self.model_name)}"
        return f"F6 measures {wanted} side by side: size, errors, perplexity, divergence. No checkpoint is kept."

    def values_of(self, run: Run, row: CompareRow) -> Values | None:
        try:
            asked = QuantizeCompareSpec.model_validate(run.values)
        except ValidationError:
            return None
        variant = next((variant for variant in asked.variants if variant.name == row.name), None)
        return None if variant is None else asked.of(variant).model_dump()

    def heading(self, compared: Finished[QuantizeCompareResult]) -> Content:
        result = compared.result
        before = f"{words.size(result.bytes_before)}, perplexity {words.plus_minus(words.figure(result.ppl_before), result.ppl_before_se)}"
        return headed(
            f"{len(result.rows)} quantizations of {model(compared.run.values)}",
            f"original: {before}",
            f"took {words.duration(result.seconds)}, peak memory {words.size(result.peak_rss_bytes)}",
            convention(result.evaluation),
            result.notes,
        )

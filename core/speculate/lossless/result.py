"""What a test of losslessness found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.result import Figure, Figures, PeakMemory, Result, Seconds
from core.speculate.spec import Acceptance, DrafterName


class Comparison(Figures):
    """Counts of one statistic against what they must be."""

    name: str
    """For example `toy drawn 1` (a sampled draft, token 1 of a text), `toy greedy 2` or `model`."""
    title: str
    draws: int
    cells: int
    total_variation: Annotated[float, Figure("total variation from the target", "", "lower")]
    """Half the sum of the absolute differences of frequencies and probabilities."""
    bound: float
    """Not passed by an exact implementation, with the confidence that this comparison has its share of."""
    chi_square: float
    degrees_of_freedom: int
    p_value: Annotated[float, Figure("p-value")]
    """Chance of so large a chi-square with an exact implementation."""
    passed: bool
    """Total variation within its bound, and the p-value not below this comparison's share of 1 - confidence."""


class GreedyComparison(Figures):
    """Greedy texts with and without speculation."""

    prompts: int
    identical: int
    tokens: Annotated[int, Figure("tokens")]
    first_difference: str | None = None


class SpeculateTestResult(Result):
    """Result of `llmopt speculate-test`; exit code 3 when a comparison falls short."""

    schema_: str = Field("llmopt.speculate-test/1", alias="schema")
    capability: Literal["speculate-test"] = "speculate-test"
    model: str
    drafter: DrafterName
    draft: str | None
    acceptance: Acceptance
    lossless: bool
    """Every comparison passed and every greedy text is identical."""
    confidence: float
    temperature: float
    top_p: float
    top_k: int
    gamma: Annotated[int, Figure("tokens drafted a round (gamma)")]
    total_variation: Annotated[float, Figure("total variation from the target", "", "lower")]
    """Largest of the toy's comparisons."""
    total_variation_bound: Annotated[float, Figure("total variation, bound")]
    """Of that comparison."""
    comparisons: tuple[Comparison, ...]
    greedy: GreedyComparison | None
    alpha: Annotated[float | None, Figure("drafts accepted (alpha)", "share", "higher")]
    """Of the texts sampled from the model."""
    seconds: Seconds
    peak_rss_bytes: PeakMemory
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 3 when speculation was found to change what the target says."""
        return 0 if self.lossless else 3

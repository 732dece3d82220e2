"""What a test of losslessness found."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core import __version__
from core.speculate.spec import Acceptance, DrafterName


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Comparison(_Frozen):
    """Counts of one statistic against what they must be."""

    name: str
    """For example `toy drawn 1` (a draft that draws, token 1 of a text), `toy greedy 2` or `model`."""
    title: str
    draws: int
    cells: int
    total_variation: float
    """Half the sum of the absolute differences of frequencies and probabilities."""
    bound: float
    """Not passed by an exact implementation, with the confidence that this comparison has its share of."""
    chi_square: float
    degrees_of_freedom: int
    p_value: float
    """Chance of so large a chi-square with an exact implementation."""
    passed: bool
    """Total variation within its bound, and the p-value not below this comparison's share of 1 - confidence."""


class GreedyComparison(_Frozen):
    """Greedy texts with and without speculation."""

    prompts: int
    identical: int
    tokens: int
    first_difference: str | None = None


class SpeculateTestResult(_Frozen):
    """Result of `llmopt speculate-test`; exit code 3 when a comparison falls short."""

    schema_: str = Field("llmopt.speculate-test/1", alias="schema")
    llmopt_version: str = __version__
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
    gamma: int
    total_variation: float
    """Largest of the toy's comparisons."""
    total_variation_bound: float
    """Of that comparison."""
    comparisons: tuple[Comparison, ...]
    greedy: GreedyComparison | None
    alpha: float | None
    """Of the texts sampled from the model."""
    seconds: float
    peak_rss_bytes: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, or 3 when speculation was found to change what the target says."""
        return 0 if self.lossless else 3

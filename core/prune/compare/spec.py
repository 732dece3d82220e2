"""What can be asked of the comparison of prunings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from core.prune.methods import METHODS
from core.prune.spec import PruneSpec
from core.spec import Spec, option, require_window


@dataclass(frozen=True)
class Variant:
    """One pruning of a comparison: the fields of its request that differ from the method's defaults."""

    method: str
    values: Mapping[str, object] = field(default_factory=dict, hash=False)


PROGRAMS = (
    Variant("magnitude", {"sparsity": 0.3}),
    Variant("wanda", {"sparsity": 0.5}),
    Variant("sparsegpt", {"sparsity": 0.5}),
    Variant("wanda", {"keep": "2:4"}),
    Variant("sparsegpt", {"keep": "2:4"}),
    Variant("channels", {"sparsity": 0.5}),
    Variant("layers", {"sparsity": 0.25}),
)
"""Unstructured, semi-structured and structured pruning at the sparsities that introductions to each begin with."""


class PruneCompareSpec(Spec):
    """Prune one model in several ways and compare size, perplexity, divergence and speed; no checkpoint is kept."""

    capability: ClassVar[str] = "prune-compare"

    calibration: Annotated[str, option("Calibration text: builtin or a UTF-8 file")] = "builtin"
    calibration_samples: Annotated[int, option("Calibration sequences", "sequence", ge=1, le=65536)] = 32
    calibration_length: Annotated[int, option("Tokens per calibration sequence", "token", ge=8, le=131072)] = 512
    text: Annotated[str, option("Evaluation text: builtin or a UTF-8 file")] = "builtin"
    context: Annotated[int, option("Evaluation window", "token", ge=8, le=1048576)] = 512
    eval_tokens: Annotated[int, option("Tokens to evaluate on", "token", ge=8, le=2**31)] = 16384
    speed_tokens: Annotated[int, option("Tokens to decode when the speed is measured; 0 skips the measurement", "token", ge=0, le=65536)] = 32

    @model_validator(mode="after")
    def _tokens_fill_a_window(self) -> Self:
        require_window(self.eval_tokens, self.context)
        return self

    def summary(self) -> str:
        """The same for all of them."""
        return "comparison of methods"

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What is compared."""
        return tuple(variant for variant in PROGRAMS if variant.method in METHODS)

    def of(self, variant: Variant) -> PruneSpec:
        """The request that one variant amounts to."""
        return PruneSpec.parse({**self.model_dump(), "method": variant.method, **variant.values})

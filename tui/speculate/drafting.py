"""What a form of the tab asks, while it is filled in. Pure."""

from __future__ import annotations

from core.result import Figures
from core.speculate.advice import LOOKUP
from core.speculate.spec import BUNDLED_PAIRS, SpeculateSpec


class Drafting(Figures):
    """Who drafts for what, as far as a form is filled in: read it with `Drafting.read`."""

    model: str = ""
    drafter: str = "model"
    draft: str | None = None
    prompt: str | None = None
    gamma: tuple[int, ...] = ()
    ngram_min: int = LOOKUP[0]
    ngram_max: int = LOOKUP[1]

    @property
    def draft_model(self) -> str | None:
        """The draft model that was named, or that goes with the target."""
        return self.draft or BUNDLED_PAIRS.get(self.model)

    def was_measured(self, spec: SpeculateSpec) -> bool:
        """Whether a run had the same model and drafter."""
        alike = (spec.model, spec.drafter) == (self.model, self.drafter)
        return alike and (self.drafter != "model" or spec.draft == self.draft_model)

"""What can be set about cache schemes; each reads what concerns it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SchemeSettings(BaseModel):
    """Sizes of groups, windows and budgets, in values or tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: int = Field(32, ge=1)
    """Quantized schemes: values per scale (KIVI: tokens of a channel for keys, channels of a token for values)."""
    residual: int = Field(128, ge=0)
    """KIVI: most recent tokens kept unquantized; keys are flushed by blocks of this many."""
    budget: int = Field(256, ge=1)
    """Evicting schemes: tokens kept per block, sinks and recent tokens among them."""
    sinks: int = Field(4, ge=0)
    """StreamingLLM: first tokens that are never evicted."""
    block: int = Field(16, ge=1)
    """Paged: tokens per page."""
    observed: int = Field(32, ge=1)
    """SnapKV: last tokens of the prompt, whose attention chooses what is kept."""
    pooling: int = Field(7, ge=1)
    """SnapKV: width of the max-pooling over the chosen positions' scores (arXiv 2404.14469); odd."""
    capacity: int | None = Field(None, ge=1)
    """Slots of buffers that are allocated in advance; None: as many as there are tokens. Formulas only: a cache is given its `max_tokens`."""

    prompted: int | None = Field(None, ge=1)
    """SnapKV: tokens of the prompt, of which `budget` are kept; None: all tokens. Formulas only: a cache learns when its prompt is complete."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.pooling % 2 == 0:
            raise ValueError(f"pooling {self.pooling} must be odd: choose an odd width")
        if self.sinks >= self.budget:
            raise ValueError(f"sinks {self.sinks} leave nothing of a budget of {self.budget} tokens: lower sinks or raise the budget")
        return self

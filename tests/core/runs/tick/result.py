"""What ticking found."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from core.result import Figures, Result


class TickMetrics(Figures):
    """Of a tick, and whatever else a test claims was measured."""

    model_config = ConfigDict(extra="allow")

    ticks: int = 0
    nothing: float | None = None
    seed: int = 0


class TickResult(Result):
    """Of a tick."""

    schema_: str = Field("llmopt.tick/1", alias="schema")
    capability: Literal["tick"] = "tick"
    metrics: TickMetrics
    spec: dict[str, object] = Field(default_factory=dict)

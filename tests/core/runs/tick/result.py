"""What ticking found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.result import Figures, Result


class TickMetrics(Figures):
    """Of a tick."""

    ticks: int
    nothing: float | None
    seed: int


class TickResult(Result):
    """Of a tick."""

    schema_: str = Field("llmopt.tick/1", alias="schema")
    capability: Literal["tick"] = "tick"
    metrics: TickMetrics
    spec: dict[str, object]

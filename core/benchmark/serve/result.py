"""What a server was."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.result import Figure, Result, Seconds


class ServeResult(Result):
    """A server that was stopped."""

    schema_: str = Field("llmopt.serve/1", alias="schema")
    capability: Literal["serve"] = "serve"
    engine: str
    engine_version: str
    url: str
    served_model: str
    command: str
    start_seconds: float
    """Until it answered."""
    seconds: Seconds
    """That it served."""
    peak_rss_bytes: Annotated[int | None, Figure("peak memory", "byte", "lower")]
    """Of its processes."""

"""What data distillation brought together and cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.result import Figure, Figures, Result, Seconds


class DataMetrics(Figures):
    """The figures of a training file."""

    seeds: Annotated[int, Figure("seeds")]
    repeated: Annotated[int, Figure("repeated seeds, asked once")]
    requests: Annotated[int, Figure("requests")]
    answers: Annotated[int, Figure("answers", "", "higher")]
    answered: Annotated[int, Figure("answers of this start")]
    reused: Annotated[int, Figure("answers kept from earlier")]
    failed: Annotated[int, Figure("requests that failed for good", "", "lower")]
    retries: Annotated[int, Figure("retries", "", "lower")]
    """Of all answers, earlier starts included, and of the requests of this start that failed."""
    prompt_tokens: Annotated[int, Figure("prompt tokens")]
    """Of all answers, as far as the server counts; failed requests are not counted."""
    completion_tokens: Annotated[int, Figure("generated tokens")]
    uncounted: Annotated[int, Figure("answers whose tokens the server did not count", "", "lower")]
    cost: Annotated[float | None, Figure("cost", "", "lower")] = None
    """Counted tokens at the given prices per million, in their currency; None: no prices."""
    removed: Annotated[int, Figure("answers removed by filters")]
    held_out: Annotated[int, Figure("examples held out")]
    examples: Annotated[int, Figure("training examples", "", "higher")]
    answers_per_second: Annotated[float | None, Figure("answers per second", "", "higher")] = None
    """Of this start; None: nothing was asked."""
    seconds: Seconds
    """Of this start."""


class FilterCount(Figures):
    """What one filter did."""

    name: str
    title: str
    removed: Annotated[int, Figure("removed")]
    left: Annotated[int, Figure("left")]


class FailureCount(Figures):
    """Requests that failed for the same reason."""

    reason: str
    count: Annotated[int, Figure("requests that failed")]


class DistillDataResult(Result):
    """Result of `llmopt distill-data`."""

    schema_: str = Field("llmopt.distill-data/1", alias="schema")
    capability: Literal["distill-data"] = "distill-data"
    model: str
    """The teacher: its name and address."""
    seeds: str
    """Name of the file."""
    out: str
    """The training file."""
    metrics: DataMetrics
    filters: tuple[FilterCount, ...]
    """In the order in which they were applied."""
    failures: tuple[FailureCount, ...] = ()
    """Most frequent first."""
    notes: tuple[str, ...] = ()

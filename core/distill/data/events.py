"""Detail events of data distillation: how far the teacher's answers are."""

from __future__ import annotations

from typing import ClassVar

from core.event import DetailEvent


class AnswersSoFar(DetailEvent):
    """Counts of one start of a run, a few times per minute."""

    kind: ClassVar[str] = "answers-so-far"

    answered: int
    """In this start."""
    reused: int
    """Answers that were in the file already."""
    failed: int
    retries: int
    requests: int
    """Of the whole run."""
    completion_tokens: int
    """Of all answers so far, as far as the server counts."""
    answers_per_second: float
    """Since the start."""
    cost: float | None = None
    """Of all answers so far, in the currency of the prices."""

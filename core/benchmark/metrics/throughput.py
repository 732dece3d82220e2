"""Requests and tokens per second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import RateMetric, Unit, Window


class RequestThroughput(RateMetric):
    """Requests whose answer was complete within the window / its length."""

    tag: ClassVar[str] = "throughput_requests_per_second"
    title: ClassVar[str] = "request throughput"
    unit: ClassVar[Unit] = "request/s"

    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """Requests a second; None for a window without length."""
        if window.seconds <= 0:
            return None
        return len(finished(outcomes, window)) / window.seconds


class TokenThroughput(RateMetric):
    """Tokens that arrived within the window / its length.

    The tokens of an answer are spread over its pieces by their own counts where the server gives them, else evenly: an answer that lies across an end
    of the window counts with its share. Answers that failed count too where their tokens are known: the server made them.
    """

    tag: ClassVar[str] = "throughput_tokens_per_second"
    title: ClassVar[str] = "output token throughput"
    unit: ClassVar[Unit] = "token/s"

    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """Tokens a second; None when the tokens of an answer that is done are not known."""
        if window.seconds <= 0 or any(outcome.tokens is None for outcome in outcomes if outcome.status == "done" and outcome.pieces):
            return None
        return sum(_tokens_within(outcome, window) for outcome in outcomes) / window.seconds


class TotalTokenThroughput(RateMetric):
    """Tokens of prompts and answers of the requests that were complete within the window / its length."""

    tag: ClassVar[str] = "throughput_total_tokens_per_second"
    title: ClassVar[str] = "total token throughput"
    unit: ClassVar[Unit] = "token/s"

    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """Tokens a second; None where a count is not known."""
        done = finished(outcomes, window)
        if window.seconds <= 0 or any(outcome.usage.prompt is None or outcome.tokens is None for outcome in done):
            return None
        return sum((outcome.usage.prompt or 0) + (outcome.tokens or 0) for outcome in done) / window.seconds


def finished(outcomes: Sequence[Outcome], window: Window) -> list[Outcome]:
    """Requests whose last piece came within the window."""
    return [outcome for outcome in outcomes if outcome.status == "done" and outcome.pieces and window.holds(outcome.pieces[-1].t)]


def _tokens_within(outcome: Outcome, window: Window) -> float:
    if not outcome.pieces or not outcome.tokens:
        return 0.0
    counts = [piece.tokens for piece in outcome.pieces]
    known = [count for count in counts if count is not None]
    if len(known) == len(counts) and sum(known) == outcome.tokens:
        return float(sum(count for piece, count in zip(outcome.pieces, known, strict=True) if window.holds(piece.t)))
    return outcome.tokens * sum(window.holds(piece.t) for piece in outcome.pieces) / len(outcome.pieces)

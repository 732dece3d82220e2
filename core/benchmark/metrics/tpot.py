"""Time per output token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import SampleMetric


class TimePerOutputToken(SampleMetric):
    """TPOT = (last token - first token) / (n - 1), n by the server's usage, else by the model's tokenizer.

    An answer of one token, or one that came in a single piece, has none.
    """

    tag: ClassVar[str] = "tpot_ms"
    title: ClassVar[str] = "time per output token"
    short: ClassVar[str] = "TPOT"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """One value where it is defined."""
        tokens = outcome.tokens
        if tokens is None or tokens < 2 or len(outcome.pieces) < 2:
            return ()
        return ((outcome.pieces[-1].t - outcome.pieces[0].t) / 1e6 / (tokens - 1),)

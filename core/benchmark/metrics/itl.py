"""Inter-token latency."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

from core.benchmark.client.outcome import Outcome
from core.benchmark.metrics.base import SampleMetric


class InterTokenLatency(SampleMetric):
    """ITL = the gaps between pieces that carry tokens, as a reader feels them.

    A piece may carry several tokens, so that this differs from TPOT: a server that sends four tokens at a time has gaps four times as long.
    """

    tag: ClassVar[str] = "itl_ms"
    title: ClassVar[str] = "inter-token latency"
    short: ClassVar[str] = "ITL"

    def of(self, outcome: Outcome) -> Iterable[float]:
        """A value for each gap."""
        return ((after.t - before.t) / 1e6 for before, after in pairwise(outcome.pieces))

"""What a metric is: a name, a unit, a direction, and a formula over outcomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from core.benchmark.client.outcome import Outcome

Unit = Literal["ms", "token/s", "request/s", "token", "1", "ms/token"]
Better = Literal["lower", "higher", ""]


class SampleMetric(ABC):
    """A quantity of which each finished request gives none, one or many values: a distribution is reported."""

    tag: ClassVar[str]
    title: ClassVar[str]
    short: ClassVar[str]
    """Its name where there is no room for the title."""
    unit: ClassVar[Unit] = "ms"
    better: ClassVar[Better] = "lower"

    @abstractmethod
    def of(self, outcome: Outcome) -> Iterable[float]:
        """The values of a request that is done; nothing where there is none: a missing value is never 0."""

    def sample(self, outcomes: Iterable[Outcome]) -> list[float]:
        """Values of all requests that are done; failed ones stay out and are counted apart."""
        return [value for outcome in outcomes if outcome.status == "done" for value in self.of(outcome)]


@dataclass(frozen=True)
class Window:
    """The time that a rate is taken over, in nanoseconds of the monotonic clock."""

    first: int
    last: int
    without: tuple[tuple[int, int], ...] = ()
    """Spans that do not belong to it, one after the other: a load that was paused was no load."""

    @property
    def seconds(self) -> float:
        """Its length, without what does not belong to it."""
        return (self.last - self.first - sum(overlap(span, (self.first, self.last)) for span in self.without)) / 1e9

    def holds(self, t: int) -> bool:
        """Whether a moment lies in it; the end does not."""
        return self.first <= t < self.last and not any(first <= t < last for first, last in self.without)


def overlap(one: tuple[int, int], other: tuple[int, int]) -> int:
    """How long two spans last together."""
    return max(min(one[1], other[1]) - max(one[0], other[0]), 0)


class RateMetric(ABC):
    """One figure of a whole load over a window."""

    tag: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[Unit]
    better: ClassVar[Better] = "higher"

    @abstractmethod
    def of(self, outcomes: Sequence[Outcome], window: Window) -> float | None:
        """The figure; None where it cannot be said."""


def milliseconds(first: int | None, last: int | None) -> Iterable[float]:
    """The time between two moments; nothing when one of them is missing."""
    return () if first is None or last is None else ((last - first) / 1e6,)

"""Which figures of two runs differ beyond noise, for capabilities that keep what they measured one by one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from core.result import Result
from core.runs import registry


@dataclass(frozen=True)
class Difference:
    """One figure of a run over that of another."""

    name: str
    ratio: float | None
    low: float | None
    """Of the interval of the ratio."""
    high: float | None
    beyond_noise: bool | None
    """None: it cannot be told."""
    words: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Differences:
    """All of them, and why they may mean little."""

    found: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()


def differences_of(capability: str, result: Result | None, against: Result | None) -> Differences:
    """Of two results of one capability; none where it does not tell, or a result cannot be read."""
    reference = registry.CAPABILITIES[capability].differences if capability in registry.CAPABILITIES else ""
    if not reference or result is None or against is None:
        return Differences()
    found: Differences = registry.load(reference)(result, against)
    return found

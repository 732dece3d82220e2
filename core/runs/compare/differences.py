"""Which figures of two runs differ beyond noise, for capabilities that keep what they measured one by one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from core.runs import registry
from core.runs.state.store import Run


@dataclass(frozen=True)
class Difference:
    """One figure of a run over that of another."""

    name: str
    ratio: float | None
    low: float | None
    """Of the interval of the ratio."""
    high: float | None
    beyond_noise: bool | None
    """None: it is not known."""
    words: str
    figure: str = ""
    """Name of the figure of `metrics` that this decides; empty: none."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Differences:
    """All of them, and why they may mean little."""

    found: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()


def differences_of(run: Run, against: Run) -> Differences:
    """Of two runs of one capability; none where it does not keep what it measured one by one, or a result is missing."""
    known = registry.CAPABILITIES.get(run.capability) if run.capability == against.capability else None
    if known is None or not known.differences or not run.result or not against.result:
        return Differences()
    result, other = run.typed_result(), against.typed_result()
    if result is None or other is None:
        damaged = run if result is None else against
        return Differences(warnings=(f"run {damaged.id} holds a result that this version cannot read: which differences are noise is not known",))
    found: Differences = registry.load(known.differences)(result, other)
    return found

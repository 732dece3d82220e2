"""What a pruning method looks at of a request: plain data, so that methods can be described below the spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scope = Literal["row", "matrix", "global"]
Inputs = Literal["updated", "dense"]
Allocation = Literal["uniform", "owl", "atp", "sensitivity"]
HeadAxis = Literal["groups", "queries"]
Compensation = Literal["least-squares", "bias", "none"]


@dataclass(frozen=True)
class Request:
    """The fields of `PruneSpec` that methods, names and estimates depend on; the spec says what each means."""

    sparsity: float
    keep: tuple[int, int] | None
    """(n, m): n of every m consecutive inputs are kept."""
    remove: int | None
    criterion: str
    scope: Scope
    within_block: Inputs
    allocation: Allocation
    atp_step: float | None
    heads: HeadAxis
    compensation: Compensation
    multiple_of: int
    swaps: int
    refit: bool
    damp: float
    recover_steps: int

    @property
    def share(self) -> float:
        """Share of the weights of a linear that becomes zero."""
        return self.sparsity if self.keep is None else 1 - self.keep[0] / self.keep[1]


def pattern(text: str | None) -> tuple[int, int] | None:
    """(n, m) of a text `n:m`; None where there is none, or it is not a pattern."""
    if text is None:
        return None
    kept, colon, group = text.partition(":")
    return (int(kept), int(group)) if colon and kept.isdigit() and group.isdigit() else None

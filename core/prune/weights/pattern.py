"""How many weights of a linear become zero, and within what they are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal

from core.errors import RequestError

Scope = Literal["row", "matrix"]

USUAL_SCOPE: Mapping[str, Scope] = {"magnitude": "row", "wanda": "row", "sparsegpt": "matrix", "alps": "matrix"}
"""What each method's authors count over."""


@dataclass(frozen=True)
class Pattern:
    """What is to be zero.

    Raises:
        RequestError: the sparsity is outside 0 <= s < 1, or `keep` does not satisfy 0 < n < m.
    """

    sparsity: float = 0.5
    """Share of the weights that are removed; follows from `keep` where that is given."""
    keep: tuple[int, int] | None = None
    """(n, m): of every m consecutive inputs of a row n are kept. None: no groups."""
    scope: Scope = "row"
    """What the count is exact over. Without meaning where `keep` is given: then it is exact in every group."""

    def __post_init__(self) -> None:
        if self.keep is not None:
            kept, group = self.keep
            if not 0 < kept < group:
                raise RequestError(f"{kept}:{group} keeps {kept} of every {group} weights: the first number must be between 1 and {group - 1}")
            object.__setattr__(self, "sparsity", 1 - kept / group)
        if not 0 <= self.sparsity < 1:
            raise RequestError(f"sparsity must be at least 0 and below 1, got {self.sparsity:g}")

    def count(self, weights: int) -> int:
        """How many of this many weights are removed: the share rounded down, by its decimal digits, so that 0.29 of 100 are 29."""
        return floor(weights * Fraction(repr(float(self.sparsity))) + Fraction(1, 10**9))

    def require_columns(self, columns: int, name: str) -> None:
        """Raise RequestError when groups do not divide a row of this many columns; `name` is the linear's."""
        if self.keep is not None and columns % self.keep[1]:
            kept, group = self.keep
            raise RequestError(
                f"{name} has rows of {columns} weights, which groups of {group} do not divide: choose another pattern than {kept}:{group}"
            )

    def __str__(self) -> str:
        """`50 %`, or `2:4`, the first number being how many are kept."""
        return f"{self.keep[0]}:{self.keep[1]}" if self.keep is not None else f"{100 * self.sparsity:g} %"

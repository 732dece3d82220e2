"""Which width each linear gets: least loss at a size, or least size at a loss, by the multiple-choice knapsack (`core.measure.knapsack`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import RequestError
from core.measure.knapsack import Figures, cheapest


@dataclass(frozen=True)
class Choice:
    """One way to store one linear."""

    bits: int
    bytes: int
    """On disk, scales counted."""
    loss: float
    """What the model loses by it alone, in nats per token."""


@dataclass(frozen=True)
class Assignment:
    """One choice for every linear."""

    chosen: tuple[int, ...]
    """Index into the choices of each linear."""
    bytes: int
    loss: float
    """Sum of the losses: what the whole is predicted to lose."""
    exact: bool = True
    """False when there were too many partial sums to keep, so that something slightly better may exist."""


def least_loss(choices: Sequence[Sequence[Choice]], budget: int) -> Assignment:
    """The assignment of least summed loss that takes at most `budget` bytes. Raises RequestError: even the smallest choices take more."""
    smallest = sum(min(choice.bytes for choice in of_linear) for of_linear in choices)
    if smallest > budget:
        raise RequestError(f"a budget of {budget:,} bytes is below the {smallest:,} needed by the smallest widths: raise it or allow fewer bits")
    losses, sizes = _figures(choices)
    return _assignment(choices, *cheapest(losses, sizes, float(budget)))


def least_size(choices: Sequence[Sequence[Choice]], max_loss: float) -> Assignment:
    """The assignment of least size whose summed loss is at most `max_loss`. Raises RequestError: even the widest choices lose more."""
    best = sum(min(choice.loss for choice in of_linear) for of_linear in choices)
    if best > max_loss:
        raise RequestError(f"no assignment reaches a loss of {max_loss:.3g}: the best of these widths lose {best:.3g}; allow more bits or more loss")
    losses, sizes = _figures(choices)
    return _assignment(choices, *cheapest(sizes, losses, max_loss))


def _figures(choices: Sequence[Sequence[Choice]]) -> tuple[list[Figures], list[Figures]]:
    losses = [np.array([choice.loss for choice in of_linear], dtype=np.float64) for of_linear in choices]
    return losses, [np.array([choice.bytes for choice in of_linear], dtype=np.float64) for of_linear in choices]


def _assignment(choices: Sequence[Sequence[Choice]], chosen: Sequence[int], exact: bool) -> Assignment:
    taken = [of_linear[index] for of_linear, index in zip(choices, chosen, strict=True)]
    return Assignment(tuple(chosen), sum(choice.bytes for choice in taken), float(sum(choice.loss for choice in taken)), exact)

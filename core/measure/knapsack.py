"""The multiple-choice knapsack: of every item one option, the sum of one figure as small as possible, that of the other within a limit.

It is solved exactly by dynamic programming over undominated partial sums. A Lagrangian price of the limited figure gives a bound
on what the items still to come can reach at best, and partial sums that cannot beat a solution already found are dropped
(Sinha and Zoltners, Operations Research 27, 1979; Pisinger, EJOR 83, 1995).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STATES = 500_000
_HALVINGS = 100
_SLACK = 1e-12

Figures = NDArray[np.float64]


def cheapest(costs: Sequence[Figures], weights: Sequence[Figures], limit: float) -> tuple[list[int], bool]:
    """One option of every item: least summed cost with summed weight at most `limit`.

    Args:
        costs: float64 [options] of each item.
        weights: float64 [options] of each item.
        limit: some choice must be within it.

    Returns:
        Index of the option of each item, and whether nothing better exists; False when there were too many partial sums to keep.
    """
    limit += _SLACK * abs(limit)
    price, chosen = _priced(costs, weights, limit)
    chosen = _repaired(costs, weights, limit, chosen)
    incumbent = _sum(costs, chosen)
    incumbent += _SLACK * abs(incumbent)
    least_weight = _sums_behind([weight.min() for weight in weights])
    least_priced = _sums_behind([(cost + price * weight).min() for cost, weight in zip(costs, weights, strict=True)])

    exact = True
    cost_so_far, weight_so_far = np.zeros(1), np.zeros(1)
    trail: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for index, (cost, weight) in enumerate(zip(costs, weights, strict=True)):
        total = (cost_so_far[:, None] + cost).ravel()
        load = (weight_so_far[:, None] + weight).ravel()
        bound = total + least_priced[index + 1] - price * (limit - load)
        kept = np.flatnonzero((load + least_weight[index + 1] <= limit) & (bound <= incumbent))
        kept = kept[_undominated(total[kept], load[kept])]
        if len(kept) > _STATES:
            exact = False
            kept = kept[_thinned(load[kept], _STATES)]
        parents, options = np.divmod(kept, len(cost))
        trail.append((parents, options))
        cost_so_far, weight_so_far = total[kept], load[kept]
    if not len(cost_so_far):
        return chosen, exact
    at = int(np.argmin(cost_so_far))
    found = []
    for parents, options in reversed(trail):
        found.append(int(options[at]))
        at = int(parents[at])
    return found[::-1], exact


def _undominated(costs: Figures, weights: Figures) -> NDArray[np.intp]:
    """Indices, in order of weight, of the pairs that no lighter or equal pair matches in cost."""
    order = np.lexsort((costs, weights))
    if not len(order):
        return order
    best = np.minimum.accumulate(costs[order])
    strictly = np.ones(len(order), dtype=bool)
    strictly[1:] = costs[order][1:] < best[:-1]
    return order[strictly]


def _thinned(weights: Figures, count: int) -> NDArray[np.intp]:
    """Indices of at most `count` of the weights (ascending, their costs descending): the last, so cheapest, of each bin of equal width."""
    bins = np.floor((weights - weights[0]) / max(weights[-1] - weights[0], np.finfo(np.float64).tiny) * (count - 1))
    return np.flatnonzero(np.append(bins[1:] != bins[:-1], True))


def _priced(costs: Sequence[Figures], weights: Sequence[Figures], limit: float) -> tuple[float, list[int]]:
    """The least price of a unit of weight at which minimizing cost + price * weight, linear by linear, stays within the limit; and that minimum."""
    low, high = 0.0, 1e-12
    chosen = _cheapest(costs, weights, low)
    if _sum(weights, chosen) <= limit:
        return low, chosen
    while _sum(weights, chosen := _cheapest(costs, weights, high)) > limit:
        low, high = high, high * 16
        if not np.isfinite(high):
            return 0.0, [int(np.argmin(weight)) for weight in weights]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        trial = _cheapest(costs, weights, middle)
        if _sum(weights, trial) <= limit:
            high, chosen = middle, trial
        else:
            low = middle
        if high - low <= _SLACK * high:
            break
    return high, chosen


def _cheapest(costs: Sequence[Figures], weights: Sequence[Figures], price: float) -> list[int]:
    return [int(np.lexsort((weight, cost + price * weight))[0]) for cost, weight in zip(costs, weights, strict=True)]


def _repaired(costs: Sequence[Figures], weights: Sequence[Figures], limit: float, chosen: Sequence[int]) -> list[int]:
    """Spend what is left of the limit: again and again the change of one linear that lowers the cost most for its weight."""
    chosen = list(chosen)
    left = limit - _sum(weights, chosen)
    while True:
        best: tuple[float, int, int] | None = None
        for index, (cost, weight) in enumerate(zip(costs, weights, strict=True)):
            gain, more = cost[chosen[index]] - cost, weight - weight[chosen[index]]
            for option in np.flatnonzero((gain > 0) & (more <= left)):
                rate = float(gain[option] / max(more[option], np.finfo(np.float64).tiny))
                if best is None or rate > best[0]:
                    best = rate, index, int(option)
        if best is None:
            return chosen
        _, linear, taken = best
        left -= float(weights[linear][taken] - weights[linear][chosen[linear]])
        chosen[linear] = taken


def _sums_behind(values: Sequence[float]) -> Figures:
    """Entry i: the sum of values i and all after it."""
    return np.append(np.cumsum(np.array(values[::-1], dtype=np.float64))[::-1], 0.0)


def _sum(figures: Sequence[Figures], chosen: Sequence[int]) -> float:
    return float(sum(of_linear[index] for of_linear, index in zip(figures, chosen, strict=True)))

"""Improve any choice of removed weights: trade a kept weight for a removed one while the error of the output falls.

Source: SparseSwaps, arXiv 2512.10922. With d the removed part of a row and g = d H, removing p and restoring q changes d H dᵀ by
w_p² H_pp + 2 w_p g_p + w_q² H_qq - 2 w_q g_q - 2 w_p w_q H_pq, so the Gram matrix is all that is needed and rows are independent. Candidates
of a round are the cheapest removals and the most useful restorations of every row; among them trades are exact, and many are made before
g is computed anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.numerics.products import product_nt
from core.prune.weights.pattern import Pattern

_ROWS = 1024
_ELEMENTS = 2**25
"""Numbers in the largest tensor of pairs; bounds how many rows are taken at once."""
_CANDIDATES = 32
_LEAST = 1e-6
"""Share of a row's error that a trade must save: less is within the rounding of float32."""


@dataclass(frozen=True)
class Swapped:
    """A choice of removed weights after swaps."""

    removed: Tensor
    """bool [out, in]: in every row, and in every group of n:m, as many as before."""
    before: float
    """Mean over tokens of the squared change of the output, the kept weights being unchanged."""
    after: float
    """The same after the swaps; never above `before`."""
    swaps: int
    """Pairs of weights that were traded."""


def refine(weight: Tensor, removed: Tensor, hessian: Tensor, pattern: Pattern, *, swaps: int = 100) -> Swapped:
    """Trade weights of each row, inside groups where the pattern has them.

    Args:
        weight: float32 [out, in], before pruning.
        removed: bool [out, in]; left unchanged.
        hessian: float32 [in, in], (2/N) Σ x xᵀ of the inputs, not damped.
        pattern: whose groups are kept to.
        swaps: most of each row, at least 1.
    """
    group = 0 if pattern.keep is None else pattern.keep[1]
    result = removed.clone()
    step = min(_ROWS, max(_ELEMENTS // (weight.shape[1] * max(group, 1)), 1))
    before, after, made = 0.0, 0.0, 0
    for first in range(0, len(weight), step):
        found = _refine(weight[first : first + step], result[first : first + step], hessian, group, swaps)
        before, after, made = before + found.before, after + found.after, made + found.swaps
    return Swapped(result, before, after, made)


def _refine(weight: Tensor, removed: Tensor, hessian: Tensor, group: int, most: int) -> Swapped:
    """Some rows; `removed` is changed in place."""
    gradient, errors = _measure(weight, removed, hessian)
    before, swaps = float(errors.sum()), 0
    active = torch.arange(len(weight), device=weight.device)
    left = torch.full((len(weight),), most, device=weight.device)
    while len(active):
        trial, made = _round(weight[active], removed[active], gradient[active], errors[active], left[active], hessian, group)
        moved = made > 0
        active, trial, made = active[moved], trial[moved], made[moved]
        if not len(active):
            break
        changed, measured = _measure(weight[active], trial, hessian)
        better = measured < errors[active]
        active = active[better]
        removed[active], gradient[active], errors[active] = trial[better], changed[better], measured[better]
        left[active] -= made[better]
        swaps += int(made[better].sum())
        active = active[left[active] > 0]
    return Swapped(removed, before, float(errors.sum()), swaps)


def _measure(weight: Tensor, removed: Tensor, hessian: Tensor) -> tuple[Tensor, Tensor]:
    """d H, float32 [rows, in], and ½ d H dᵀ, float64 [rows], d being the removed part of each row."""
    difference = weight.masked_fill(~removed, 0)
    gradient = product_nt(difference, hessian)
    return gradient, 0.5 * (gradient * difference).sum(dim=1, dtype=torch.float64)


def _round(weight: Tensor, removed: Tensor, gradient: Tensor, errors: Tensor, left: Tensor, hessian: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """The rows after at most `left` [rows] swaps among candidates, bool [rows, in], and how many each made."""
    squared = weight.square() * hessian.diagonal()
    twice = 2 * weight * gradient
    removals = (squared + twice).masked_fill_(removed, torch.inf)
    restorations = (squared - twice).masked_fill_(~removed, torch.inf)
    if group:
        values, index = _candidates_in_groups(removals, restorations, weight, hessian, group)
    else:
        values, index = _candidates(removals, restorations)
    half = index.shape[1] // 2
    signed = weight.gather(1, index)
    signed[:, half:].neg_()
    interaction = hessian.view(-1)[index.unsqueeze(2) * len(hessian) + index.unsqueeze(1)]
    interaction *= 2 * signed.unsqueeze(2) * signed.unsqueeze(1)
    pairs = interaction[:, :half, half:]
    if group:
        pairs = pairs + torch.full((half, half), torch.inf, device=weight.device).fill_diagonal_(0)
    return _swap(removed.clone(), values, index, interaction, pairs, -2 * _LEAST * errors.to(torch.float32), left)


def _candidates(removals: Tensor, restorations: Tensor) -> tuple[Tensor, Tensor]:
    """Costs and columns, [rows, 2 k]: k to remove, then k to restore; the cost of what may not be toggled is infinite."""
    count = min(_CANDIDATES, removals.shape[1])
    found = [costs.topk(count, dim=1, largest=False, sorted=False) for costs in (removals, restorations)]
    return torch.cat([each.values for each in found], dim=1), torch.cat([each.indices for each in found], dim=1)


def _candidates_in_groups(removals: Tensor, restorations: Tensor, weight: Tensor, hessian: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """As `_candidates`: the best pair of each of the k groups that gain most, one to remove and one to restore."""
    rows, columns = weight.shape
    groups = columns // group
    shape = (rows, groups, group)
    blocks = hessian.view(groups, group, groups, group).diagonal(dim1=0, dim2=2).movedim(2, 0)
    grouped = weight.view(shape)
    changes = grouped.unsqueeze(3) * grouped.unsqueeze(2) * (-2 * blocks)
    changes += removals.view(shape).unsqueeze(3)
    changes += restorations.view(shape).unsqueeze(2)
    gain, pair = changes.view(rows, groups, group * group).min(dim=2)
    chosen = gain.topk(min(_CANDIDATES, groups), dim=1, largest=False, sorted=False).indices
    pair = pair.gather(1, chosen)
    index = torch.cat([chosen * group + pair // group, chosen * group + pair % group], dim=1)
    half = chosen.shape[1]
    return torch.cat([removals.gather(1, index[:, :half]), restorations.gather(1, index[:, half:])], dim=1), index


def _swap(removed: Tensor, costs: Tensor, index: Tensor, interaction: Tensor, pairs: Tensor, limits: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Make the best swap of each row until none lowers its error.

    Args:
        removed: bool [rows, in]; changed in place.
        costs: [rows, 2 k], how each toggle alone changes d H dᵀ; changed in place.
        index: [rows, 2 k], the columns: k to remove, then k to restore.
        interaction: [rows, 2 k, 2 k], what two toggles change together beyond their sum.
        pairs: [rows, k, k], the same between removals and restorations, infinite where they may not be paired.
        limits: [rows], below which a change is worth a swap.
        left: int64 [rows], most swaps.
    """
    half = index.shape[1] // 2
    made = torch.zeros(len(index), dtype=torch.int64, device=index.device)
    for _ in range(half):
        change = (costs[:, :half].unsqueeze(2) + pairs).add_(costs[:, half:].unsqueeze(1))
        best, at = change.flatten(1).min(dim=1)
        rows = ((best < limits) & (made < left)).nonzero().flatten()
        if not len(rows):
            break
        out, back = at[rows] // half, at[rows] % half + half
        costs[rows] += interaction[rows, out] + interaction[rows, back]
        costs[rows, out] = costs[rows, back] = torch.inf
        removed[rows, index[rows, out]] = True
        removed[rows, index[rows, back]] = False
        made[rows] += 1
    return removed, made

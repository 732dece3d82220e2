"""Swaps that count with the re-fit: trade a kept weight for a removed one where least squares on the new support is nearer to the output.

A round takes, in every row, the kept weights that cost least and the removed ones that would help most. Over these few, all others being fixed,
least squares is solved exactly for every possible trade by the sweep operator (Goodnight 1979, "A Tutorial on the SWEEP Operator"), and the
best trades are made. Rows that are no longer than the candidates so come within a percent or two of the least error there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.numerics.products import product_nt
from core.prune.weights.pattern import Pattern
from core.prune.weights.refit import Normalized, on_support

_ROWS = 1024
_CANDIDATES = 32
"""Half of them kept, half removed; of n:m, whole groups."""
_TRADES = 16
"""Trades that are tried in a round."""
_LEAST = 1e-5
"""Share of a row's error that a trade must save: less is within the rounding of float32."""


@dataclass(frozen=True)
class Exchanged:
    """A sparse weight after trades and a re-fit."""

    weight: Tensor
    """float32 [out, in]: zero where removed."""
    removed: Tensor
    """bool [out, in]: in every row, and in every group of n:m, as many as before."""
    swaps: int
    """Pairs of weights that were traded."""


def exchange(weight: Tensor, removed: Tensor, normalized: Normalized, pattern: Pattern, *, swaps: int = 64, start: Tensor | None = None) -> Exchanged:
    """Trade weights of each row, inside groups where the pattern has them, and re-fit what is kept.

    Args:
        weight: float32 [out, in], before pruning.
        removed: bool [out, in]; left unchanged.
        normalized: the damped Hessian of the inputs, from `refit.normalize`.
        pattern: whose groups are kept to.
        swaps: most trades of each row.
        start: float32 [out, in], values of the kept weights to begin at; None: those of `weight`.
    """
    target = weight * normalized.norms
    result = on_support(target, target if start is None else start * normalized.norms, removed, normalized.gram)
    chosen, made = removed.clone(), 0
    for first in range(0, len(weight), _ROWS):
        part = slice(first, first + _ROWS)
        made += _exchange(target[part], result[part], chosen[part], normalized.gram, pattern, swaps)
    if made:
        result = on_support(target, result, chosen, normalized.gram)
    return Exchanged(result.div_(normalized.norms), chosen, made)


def _exchange(target: Tensor, result: Tensor, removed: Tensor, gram: Tensor, pattern: Pattern, most: int) -> int:
    """Some rows; `result` and `removed` are changed in place. How many trades were made."""
    active = torch.arange(len(target), device=target.device)
    gradient, errors = _measure(target, result, gram)
    left = torch.full((len(target),), most, device=target.device)
    swaps = 0
    while len(active):
        values, gone = result[active], removed[active]
        table = _Table(values, gone, gradient, gram, pattern)
        made = table.trade(_LEAST * errors.to(torch.float32), left[active])
        values.scatter_add_(1, table.index, table.changes())
        gone = gone ^ torch.zeros_like(gone, dtype=torch.int8).scatter_add_(1, table.index, table.toggled()).bool()
        gradient, measured = _measure(target[active], values, gram)
        better = (measured < errors) & (made > 0)
        active, made = active[better], made[better]
        result[active], removed[active] = values[better], gone[better]
        left[active] -= made
        swaps += int(made.sum())
        again = left[active] > 0
        active, gradient, errors = active[again], gradient[better][again], measured[better][again]
    return swaps


def _measure(target: Tensor, result: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """d G, float32 [rows, in], and d G dᵀ, float64 [rows], d being target - result."""
    difference = target - result
    gradient = product_nt(difference, gram)
    return gradient, (gradient * difference).sum(dim=1, dtype=torch.float64)


class _Table:
    """Normal equations of the candidates of each row, swept on those that are kept.

    `matrix` [rows, n, n]: minus the inverse among kept, the Schur complement among removed, coefficients of removed on kept between them.
    `column` [rows, n]: the value of a kept one, what is left to explain for a removed one.
    """

    def __init__(self, values: Tensor, removed: Tensor, gradient: Tensor, gram: Tensor, pattern: Pattern) -> None:
        costs = (values.square() + 2 * values * gradient).masked_fill_(removed, torch.inf)
        gains = gradient.square().masked_fill_(~removed, -torch.inf)
        if pattern.keep is not None:
            self.index, self.allowed = _groups(costs, gains, pattern.keep[1])
            self.valid = torch.ones_like(self.index, dtype=torch.bool)
        else:
            self.index, self.valid = _anywhere(costs, gains)
            self.allowed = torch.ones(2 * [self.index.shape[1]], dtype=torch.bool, device=gram.device)
        self.kept = ~removed.gather(1, self.index) & self.valid
        self.began = self.kept.clone()
        self.before = values.gather(1, self.index)
        apart = ~(self.valid.unsqueeze(2) & self.valid.unsqueeze(1))
        self.gram = gram.view(-1)[self.index.unsqueeze(2) * len(gram) + self.index.unsqueeze(1)].masked_fill_(apart, 0)
        self.explained = gradient.gather(1, self.index) + (self.gram @ self.before.unsqueeze(2)).squeeze(2)
        inverse, coefficients = _solved(self.gram, self.explained, self.kept)
        onto = inverse @ self.gram
        rest = torch.where(self.kept.unsqueeze(1), onto.mT, self.gram - self.gram @ onto)
        self.matrix = torch.where(self.kept.unsqueeze(2), torch.where(self.kept.unsqueeze(1), -inverse, onto), rest)
        self.column = torch.where(self.kept, coefficients, self.explained - (self.gram @ coefficients.unsqueeze(2)).squeeze(2))

    def trade(self, least: Tensor, left: Tensor) -> Tensor:
        """Make trades, each the best of its row, also while the error rises; go back to where it was least.

        A weight that was just traded waits a little, so that trades do not undo each other (tabu search, Glover 1989): so the search leaves
        choices that no single trade improves. A row stays as it was unless it saves more than `least` [rows];
        none goes further than `left` [rows] trades.

        Returns:
            How many trades each row made, int64 [rows].
        """
        rows, size = self.index.shape
        waits = torch.zeros_like(self.index)
        made, best_made = (torch.zeros(rows, dtype=torch.int64, device=waits.device) for _ in range(2))
        saved, most = torch.zeros(rows, device=waits.device), least
        best = self.kept.clone()
        for step in range(_TRADES):
            saving, at = self._savings(self.valid & (waits <= step)).flatten(1).max(dim=1)
            going = torch.isfinite(saving).nonzero().flatten()
            if not len(going):
                break
            out, back = at[going] // size, at[going] % size
            self._sweep(going, out, leaves=True)
            self._sweep(going, back, leaves=False)
            waits[going, out] = waits[going, back] = step + 2
            made[going] += 1
            saved[going] += saving[going]
            better = (saved > most) & (made <= left)
            most = torch.where(better, saved, most)
            best_made = torch.where(better, made, best_made)
            best = torch.where(better.unsqueeze(1), self.kept, best)
        self.kept = best
        return best_made

    def changes(self) -> Tensor:
        """What to add to the values of the candidates, [rows, n]: least squares on those that are kept, less what there was."""
        return (_solved(self.gram, self.explained, self.kept)[1] - self.before).masked_fill_(~self.valid, 0)

    def toggled(self) -> Tensor:
        """1 where a candidate entered or left, int8 [rows, n]."""
        return ((self.kept ^ self.began) & self.valid).to(torch.int8)

    def _savings(self, free: Tensor) -> Tensor:
        """By how much the error falls when p leaves and q enters, both `free` [rows, n]: [rows, p, q], -inf where that may not be."""
        spread = (-self.matrix.diagonal(dim1=1, dim2=2)).masked_fill(~self.kept, 1).unsqueeze(2)
        share = self.column.unsqueeze(2) / spread
        left = self.matrix * share + self.column.unsqueeze(1)
        complement = self.matrix.diagonal(dim1=1, dim2=2).unsqueeze(1) + self.matrix.square() / spread
        saved = left.square_().div_(complement.clamp_(min=1e-6)).sub_(self.column.unsqueeze(2) * share)
        possible = (self.kept & free).unsqueeze(2) & (~self.kept & free).unsqueeze(1) & self.allowed
        return saved.masked_fill_(~possible, -torch.inf)

    def _sweep(self, rows: Tensor, pivot: Tensor, *, leaves: bool) -> None:
        """Let `pivot` of each of these rows leave the kept ones, or enter them."""
        matrix, column = self.matrix[rows], self.column[rows]
        each = torch.arange(len(rows), device=rows.device)
        line, value, middle = matrix[each, pivot], column[each, pivot].unsqueeze(1), matrix[each, pivot, pivot].unsqueeze(1)
        scaled = line / middle
        matrix -= line.unsqueeze(2) * scaled.unsqueeze(1)
        column -= scaled * value
        scaled = -scaled if leaves else scaled
        matrix[each, pivot], matrix[each, :, pivot] = scaled, scaled
        matrix[each, pivot, pivot] = -1 / middle.squeeze(1)
        column[each, pivot] = (-value if leaves else value).squeeze(1) / middle.squeeze(1)
        self.matrix[rows], self.column[rows] = matrix, column
        self.kept[rows, pivot] = not leaves


def _solved(gram: Tensor, explained: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse among the kept of each row, [rows, n, n], and their least-squares values, [rows, n]; zero elsewhere."""
    both = kept.unsqueeze(2) & kept.unsqueeze(1)
    factor, _ = torch.linalg.cholesky_ex(torch.where(both, gram, torch.eye(gram.shape[1], device=gram.device)))
    inverse = torch.cholesky_inverse(factor).masked_fill_(~both, 0)
    return inverse, (inverse @ explained.unsqueeze(2)).squeeze(2)


def _anywhere(costs: Tensor, gains: Tensor) -> tuple[Tensor, Tensor]:
    """Columns [rows, n] of the cheapest to lose and the best to gain, and which of them there really are."""
    count = min(_CANDIDATES // 2, costs.shape[1])
    lost = costs.topk(count, dim=1, largest=False, sorted=False)
    gained = gains.topk(count, dim=1, sorted=False)
    return torch.cat([lost.indices, gained.indices], dim=1), torch.isfinite(torch.cat([lost.values, gained.values], dim=1))


def _groups(costs: Tensor, gains: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Columns [rows, n] of the groups that promise most, all their members, and which of them [n, n] are of one group."""
    rows, columns = costs.shape
    promise = gains.view(rows, -1, group).amax(dim=2) - costs.view(rows, -1, group).amin(dim=2)
    count = min(max(_CANDIDATES // group, 1), columns // group)
    chosen = promise.topk(count, dim=1, sorted=False).indices
    members = torch.arange(group, device=costs.device)
    number = torch.arange(count * group, device=costs.device) // group
    return (chosen.unsqueeze(2) * group + members).view(rows, -1), number.unsqueeze(1) == number

"""Search for the codes of an additive weight: a beam search from left to right, and sweeps that change one code at a time.

Both minimize tr(E H Eᵀ) of the error E = Q - W. With H = U Uᵀ and U upper triangular this is |E U|², and the share of each group
of columns depends on the groups to its left only: so partial sums of groups already encoded are exact costs, and a beam of the best
of them is a beam search for the true objective. A beam of one is GPTQ's error feedback (arXiv 2210.17323) with vectors for a grid.
Rows of tiles do not depend on each other; every step works on all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.numerics.additive import decode

_BLOCK = 64
_HELD_ELEMENTS = 2**24


@dataclass(frozen=True)
class Objective:
    """What codes are searched for: a weight [R, out_group, in] and the damped Hessian of its inputs, whole and factored."""

    weight: Tensor
    """float32 [R, out_group, in]."""
    hessian: Tensor
    """float32 [in, in], positive definite."""
    upper: Tensor
    """float32 [in, in], U of H = U Uᵀ, zero below the diagonal."""

    def losses(self, approximation: Tensor) -> Tensor:
        """tr(E H Eᵀ) of each row of tiles, float32 [R]."""
        error = approximation - self.weight
        return (error @ self.upper).square_().sum(dim=(1, 2))

    def rows(self, first: int, last: int) -> Objective:
        """The same for some rows of tiles."""
        return Objective(self.weight[first:last], self.hessian, self.upper)


def weight_of(codes: Tensor, codebooks: Tensor, scales: Tensor) -> Tensor:
    """The weight [R, out_group, in] of codes [R, n, K], codebooks [K, C, out_group, in_group] and scales [R]."""
    tiles = decode(codes, codebooks) * scales.view(-1, 1, 1, 1)
    return tiles.transpose(1, 2).flatten(2)


def beam_search(objective: Objective, codebooks: Tensor, scales: Tensor, beam: int) -> Tensor:
    """Codes int64 [R, n, K] found from left to right.

    Args:
        objective: weight and Hessian.
        codebooks: float32 [K, C, out_group, in_group].
        scales: float32 [R].
        beam: partial encodings kept for each row of tiles.
    """
    rows, _, columns = objective.weight.shape
    step = max(_HELD_ELEMENTS // (beam * objective.weight.shape[1] * columns), 1)
    parts = range(0, rows, step)
    return torch.cat([_Beam(objective.rows(first, first + step), codebooks, scales[first : first + step], beam).run() for first in parts])


def sweep(objective: Objective, codes: Tensor, codebooks: Tensor, scales: Tensor) -> Tensor:
    """Give each code in turn its best value while all others stay; no row's loss ever rises.

    Args:
        objective: weight and Hessian.
        codes: int64 [R, n, K] to begin with; left unchanged.
        codebooks: float32 [K, C, out_group, in_group].
        scales: float32 [R].

    Returns:
        Codes of the same shape.
    """
    codes = codes.clone()
    in_group = codebooks.shape[3]
    columns = objective.weight.shape[2]
    gradient = (weight_of(codes, codebooks, scales) - objective.weight) @ objective.hessian
    for begin, end in _blocks(columns, in_group):
        before = weight_of(codes[:, begin // in_group : end // in_group], codebooks, scales)
        local = gradient[:, :, begin:end].clone()
        for first in range(begin, end, in_group):
            _improve(objective.hessian, codes, codebooks, scales, local, begin, end, first)
        change = weight_of(codes[:, begin // in_group : end // in_group], codebooks, scales) - before
        gradient += change @ objective.hessian[begin:end]
    return codes


def _improve(hessian: Tensor, codes: Tensor, codebooks: Tensor, scales: Tensor, local: Tensor, begin: int, end: int, first: int) -> None:
    """The best codes of one group of columns; `local` is the gradient (E H) of the block begin..end and is kept up to date."""
    in_group = codebooks.shape[3]
    last, group = first + in_group, first // in_group
    corner = hessian[first:last, first:last]
    for index, book in enumerate(codebooks):
        weighted = book @ corner
        squares = (weighted * book).sum(dim=(1, 2))
        old = book[codes[:, group, index]] * scales.view(-1, 1, 1)
        target = local[:, :, first - begin : last - begin] - old @ corner
        costs = torch.addmm(scales.unsqueeze(1) * squares, target.flatten(1), book.flatten(1).t(), beta=1, alpha=2)
        chosen = costs.argmin(dim=1)
        # A tie, or a gain within rounding, keeps the code.
        kept = codes[:, group, index]
        better = costs.gather(1, chosen.unsqueeze(1)) < costs.gather(1, kept.unsqueeze(1))
        chosen = torch.where(better.squeeze(1), chosen, kept)
        codes[:, group, index] = chosen
        local += (book[chosen] * scales.view(-1, 1, 1) - old) @ hessian[first:last, begin:end]


def _blocks(columns: int, in_group: int) -> Iterator[tuple[int, int]]:
    """Runs of whole groups, so that far columns are brought up to date by one product a block."""
    width = max(_BLOCK // in_group, 1) * in_group
    return ((begin, min(begin + width, columns)) for begin in range(0, columns, width))


class _Beam:
    """One beam search over some rows of tiles. Tensors of the beam are [R, B, ...], B grows from 1 to `beam`."""

    def __init__(self, objective: Objective, codebooks: Tensor, scales: Tensor, beam: int) -> None:
        self.objective, self.codebooks, self.beam = objective, codebooks, beam
        self.scales = scales.view(-1, 1, 1, 1)
        self.rows, self.out_group, self.columns = objective.weight.shape
        self.count, self.entries, _, self.in_group = codebooks.shape
        self.costs = scales.new_zeros(self.rows, 1)
        self.codes = torch.empty(self.rows, 1, 0, self.count, dtype=torch.int64, device=scales.device)
        """Of the groups in finished blocks: [R, B, groups, K]."""

    def run(self) -> Tensor:
        """The codes of the best encoding of every row."""
        for begin, end in _blocks(self.columns, self.in_group):
            self._block(begin, end)
        return self.codes[torch.arange(self.rows, device=self.codes.device), self.costs.argmin(dim=1)]

    def _block(self, begin: int, end: int) -> None:
        self.feedback = self._feedback(begin, end)
        groups = (end - begin) // self.in_group
        origin = torch.arange(self.codes.shape[1], device=self.codes.device).expand(self.rows, -1)
        found = self.codes.new_empty(self.rows, self.codes.shape[1], groups, self.count)
        for group in range(groups):
            first = begin + group * self.in_group
            parents, chosen = self._step(first, begin, end)
            found = _pick(found, parents)
            found[:, :, group] = chosen
            origin = origin.gather(1, parents)
        self.codes = torch.cat([_pick(self.codes, origin), found], dim=2)

    def _feedback(self, begin: int, end: int) -> Tensor:
        """What the errors of all finished blocks add to E U in columns begin..end: [R, B, out_group, end - begin]."""
        kept = self.codes.shape[1]
        if not begin:
            return self.scales.new_zeros(self.rows, kept, self.out_group, end - begin)
        tiles = decode(self.codes.flatten(0, 1), self.codebooks).view(self.rows, kept, -1, self.out_group, self.in_group)
        values = (tiles * self.scales.unsqueeze(1)).transpose(2, 3).flatten(3)
        return (values - self.objective.weight[:, None, :, :begin]) @ self.objective.upper[:begin, begin:end]

    def _step(self, first: int, begin: int, end: int) -> tuple[Tensor, Tensor]:
        """Encode one group of columns in every partial encoding; (parents [R, B], codes [R, B, K])."""
        last, upper = first + self.in_group, self.objective.upper
        corner = upper[first:last, first:last]
        target = self.objective.weight[:, None, :, first:last]
        residual = self.feedback[:, :, :, first - begin : last - begin] - target @ corner
        value = torch.zeros_like(residual)
        parents = torch.arange(residual.shape[1], device=residual.device).expand(self.rows, -1)
        codes = self.codes.new_empty(*parents.shape, 0)
        self.costs = self.costs + residual.square().sum(dim=(2, 3))
        for book in self.codebooks:
            transformed = book @ corner
            where, chosen = self._expand(residual, transformed)
            parents, codes = parents.gather(1, where), torch.cat([_pick(codes, where), chosen.unsqueeze(2)], dim=2)
            residual = _pick(residual, where) + transformed[chosen] * self.scales
            value = _pick(value, where) + book[chosen] * self.scales
        self.feedback = _pick(self.feedback, parents)
        if last < end:
            self.feedback[:, :, :, last - begin :] += (value - target) @ upper[first:last, last:end]
        return parents, codes

    def _expand(self, residual: Tensor, transformed: Tensor) -> tuple[Tensor, Tensor]:
        """The best continuations by one more code: (which of the encodings [R, B'], code [R, B']); brings `costs` up to date."""
        kept = residual.shape[1]
        squares = transformed.square().sum(dim=(1, 2))
        products = residual.flatten(2) @ transformed.flatten(1).t()
        scale = self.scales.view(-1, 1, 1)
        costs = (self.costs.unsqueeze(2) + scale.square() * squares + 2 * scale * products).flatten(1)
        self.costs, best = costs.topk(min(self.beam, kept * self.entries), dim=1, largest=False, sorted=False)
        return best // self.entries, best % self.entries


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """values[r, index[r, b]] for all r and b: [R, B, ...] and [R, B'] to [R, B', ...]."""
    shape = (*index.shape, *values.shape[2:])
    return values.gather(1, index.view(*index.shape, *[1] * (values.dim() - 2)).expand(shape))

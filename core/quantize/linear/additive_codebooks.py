"""Learn the codebooks and scales of an additive weight: k-means on residuals to begin with, least squares for given codes."""

from __future__ import annotations

import torch
from torch import Tensor

from core.quantize.linear.additive_codes import Objective, weight_of

_KMEANS_STEPS = 12
_CONVERGED = 1e-10
_POINTS_A_VECTOR = 256


def initial_scales(weight: Tensor) -> Tensor:
    """Root mean square of each row of tiles: float32 [R] of a weight [R, out_group, in]; 1 where all weights are zero."""
    scales = weight.square().mean(dim=(1, 2)).sqrt()
    return torch.where(scales > 0, scales, 1.0)


def residual_kmeans(objective: Objective, scales: Tensor, *, codebooks: int, codebook_bits: int, in_group: int, generator: torch.Generator) -> Tensor:
    """Codebooks float32 [K, C, out_group, in_group]: each by k-means on what the ones before it left of the scaled weight.

    Squared distances are weighted by the Hessian's diagonal.

    Args:
        objective: weight and Hessian.
        scales: float32 [R].
        codebooks: K.
        codebook_bits: log2 of C.
        in_group: columns of a tile.
        generator: of the draws, on the CPU.
    """
    weight = objective.weight / scales.view(-1, 1, 1)
    rows, out_group, columns = weight.shape
    points = weight.view(rows, out_group, columns // in_group, in_group).transpose(1, 2).reshape(-1, out_group * in_group)
    diagonal = objective.hessian.diagonal().view(1, -1, 1, in_group).expand(rows, -1, out_group, -1).reshape(points.shape)
    # A row counts as much as its scale makes of it.
    importance = diagonal * scales.square().repeat_interleave(columns // in_group).unsqueeze(1)
    limit = _POINTS_A_VECTOR << codebook_bits
    if len(points) > limit:
        drawn = torch.randperm(len(points), generator=generator)[:limit].to(points.device)
        points, importance = points[drawn], importance[drawn]
    found = []
    for _ in range(codebooks):
        vectors = _kmeans(points, importance, 1 << codebook_bits, generator)
        points = points - vectors[_nearest(points, importance, vectors)]
        found.append(vectors.view(-1, out_group, in_group))
    return torch.stack(found)


def fit_codebooks(objective: Objective, codes: Tensor, codebooks: Tensor, scales: Tensor, steps: int) -> Tensor:
    """Codebooks with less loss for given codes: conjugate gradients on the least squares problem, from the codebooks as they are.

    Args:
        objective: weight and Hessian.
        codes: int64 [R, n, K].
        codebooks: float32 [K, C, out_group, in_group]; left unchanged.
        scales: float32 [R].
        steps: largest number of steps; each costs two products with the Hessian's size.
    """
    gather = _Gather(codes, codebooks.shape, scales)
    found = codebooks.clone()
    residual = -gather.adjoint((weight_of(codes, found, scales) - objective.weight) @ objective.hessian)
    curvature = gather.curvature(objective.hessian.diagonal())
    inverse = torch.where(curvature > 0, 1 / curvature, 0.0)
    direction = inverse * residual
    slope = (residual * direction).sum()
    begun = float(slope)
    for _ in range(steps):
        image = gather.adjoint(weight_of(codes, direction, scales) @ objective.hessian)
        bend = (direction * image).sum()
        if not float(bend) > 0:
            break
        length = slope / bend
        found += length * direction
        residual -= length * image
        preconditioned = inverse * residual
        previous, slope = slope, (residual * preconditioned).sum()
        if float(slope) <= _CONVERGED * begun:
            break
        direction = preconditioned + slope / previous * direction
    return found


def fit_scales(objective: Objective, codes: Tensor, codebooks: Tensor, scales: Tensor) -> Tensor:
    """The scale of each row of tiles with the least loss for given codes: float32 [R]; kept where the fit would not be positive."""
    unscaled = weight_of(codes, codebooks, torch.ones_like(scales)) @ objective.upper
    energy = unscaled.square().sum(dim=(1, 2))
    fitted = (unscaled * (objective.weight @ objective.upper)).sum(dim=(1, 2)) / energy
    return torch.where((energy > 0) & (fitted > 0), fitted, scales)


class _Gather:
    """The linear map from codebooks to the weight, for fixed codes and scales, and its adjoint."""

    def __init__(self, codes: Tensor, shape: torch.Size, scales: Tensor) -> None:
        self._shape, self._scales = shape, scales.view(-1, 1, 1)
        self._codes = codes

    def adjoint(self, values: Tensor) -> Tensor:
        """Σ of the tiles of values [R, out_group, in] that hold a codebook vector, times their scale: [K, C, out_group, in_group]."""
        count, entries, out_group, in_group = self._shape
        rows, _, columns = values.shape
        tiles = (values * self._scales).view(rows, out_group, columns // in_group, in_group).transpose(1, 2).reshape(-1, out_group * in_group)
        sums = values.new_zeros(count, entries, out_group * in_group)
        for index in range(count):
            where = self._codes[:, :, index].reshape(-1, 1).expand(-1, tiles.shape[1])
            sums[index].scatter_add_(0, where, tiles)
        return sums.view(self._shape)

    def curvature(self, diagonal: Tensor) -> Tensor:
        """Diagonal of the normal equations: [K, C, out_group, in_group]."""
        rows = self._scales.shape[0]
        return self.adjoint((self._scales * diagonal).expand(rows, self._shape[2], -1))


def _kmeans(points: Tensor, importance: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Centres [count, d] of points [N, d] by Lloyd's steps from points drawn by their importance; empty ones stay where they were."""
    draw = importance.mean(dim=1).cpu()
    chosen = torch.multinomial(draw, count, replacement=len(points) < count, generator=generator).to(points.device)
    centres = points[chosen].clone()
    for _ in range(_KMEANS_STEPS):
        nearest = _nearest(points, importance, centres).unsqueeze(1).expand_as(points)
        weights = torch.zeros_like(centres).scatter_add_(0, nearest, importance)
        sums = torch.zeros_like(centres).scatter_add_(0, nearest, importance * points)
        centres = torch.where(weights > 0, sums / weights, centres)
    return centres


def _nearest(points: Tensor, importance: Tensor, centres: Tensor) -> Tensor:
    """int64 [N]: the centre with the least weighted squared distance."""
    step = max(2**22 // len(centres), 1)
    parts = []
    for first in range(0, len(points), step):
        weights = importance[first : first + step]
        costs = weights @ centres.square().t() - 2 * (weights * points[first : first + step]) @ centres.t()
        parts.append(costs.argmin(dim=1))
    return torch.cat(parts)

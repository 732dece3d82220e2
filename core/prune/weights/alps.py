"""ALPS: find the weights that stay and their values together, by ADMM, then solve for the values by conjugate gradients.

Source: Meng et al., arXiv 2406.07831. With G the Hessian scaled to a diagonal of ones, B, D and the dual V alternate: B = (G + ρI)⁻¹ (G W - V + ρ D),
D = the largest of B + V / ρ, V += ρ (B - D). One eigendecomposition of G gives the inverse for every ρ, which grows the faster the more the choice
still changes. What the paper lacks is the last step, trades (`exchange`): wide layers gain little by them, narrow ones a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.statistics import InputStatistics
from core.numerics.products import product_nt
from core.prune.weights.config import MaskConfig
from core.prune.weights.exchange import exchange
from core.prune.weights.order import choose
from core.prune.weights.pattern import Pattern
from core.prune.weights.pruned import Pruned, finite_weight
from core.prune.weights.refit import Normalized, column_losses, normalize

_FIRST_PENALTY = 0.1
_CHECK_EVERY = 3
_LEAST_STEPS = 30
_SETTLED = 3e-4
"""Share of the kept weights that may still change when ADMM ends after the least number of steps."""
_EXCHANGES = 32
"""Most trades of a row."""
_SHRINKING = 0.2
"""Factor of the penalty while the choice has never changed: it was too high."""
_GROWTH = ((0.1, 1.3), (0.005, 1.2), (0.0, 1.1))
"""Share of the kept weights that changed since the last check, above which the penalty grows by this factor."""


@dataclass(frozen=True)
class Spectrum:
    """A damped and scaled Hessian with its eigenvectors, for all linears that share the input."""

    normalized: Normalized
    values: Tensor
    """float32 [in]."""
    vectors: Tensor
    """float32 [in, in], in columns."""

    def inverse(self, penalty: float) -> Tensor:
        """(G + ρI)⁻¹, float32 [in, in]."""
        return product_nt(self.vectors / (self.values + penalty), self.vectors)


def decompose(hessian: Tensor, damp: float) -> Spectrum:
    """Damp, scale and decompose a Hessian [in, in]. Raises RunFailed: it holds NaN or infinity."""
    normalized = normalize(hessian, damp)
    values, vectors = torch.linalg.eigh(normalized.gram)
    return Spectrum(normalized, values.clamp_(min=0), vectors.contiguous())


def prune(weight: Tensor, statistics: InputStatistics | None, config: MaskConfig) -> Pruned:
    """Prune a weight [out, in] by the Hessian of its inputs, whose eigenvectors are kept for the linears that share it.

    Raises:
        RunFailed: the weight or the inputs hold NaN or infinity, or no input was ever seen.
        ValueError: no statistics were gathered.
    """
    if statistics is None:
        raise ValueError("ALPS needs statistics of the inputs")
    spectrum = statistics.once(("alps", config.damp), lambda: decompose(statistics.hessian, config.damp))
    return solve(weight, spectrum, config.pattern, steps=config.alps_steps)


def solve(weight: Tensor, spectrum: Spectrum, pattern: Pattern, *, steps: int = 300) -> Pruned:
    """Prune one weight [out, in]; `losses` sum to ½ tr(ΔW H_damped ΔWᵀ). Raises RunFailed: the weight holds NaN or infinity."""
    weights = finite_weight(weight)
    normalized = spectrum.normalized
    removed, near = _choose_by_admm(weights * normalized.norms, spectrum, pattern, steps)
    found = exchange(weights, removed, normalized, pattern, swaps=_EXCHANGES, start=near.div_(normalized.norms))
    losses = column_losses((weights - found.weight).mul_(normalized.norms), normalized.gram)
    return Pruned(found.weight, found.removed, losses)


def _choose_by_admm(target: Tensor, spectrum: Spectrum, pattern: Pattern, steps: int) -> tuple[Tensor, Tensor]:
    """Which weights go, and values of the others near their best: bool and float32 [out, in]."""
    product = product_nt(target, spectrum.normalized.gram)
    removed = before = choose(target.square(), pattern)
    kept = max(int((~removed).sum()), 1)
    sparse, dual = target.masked_fill(removed, 0), torch.zeros_like(target)
    penalty, grown = _FIRST_PENALTY, False
    inverse = spectrum.inverse(penalty)
    for step in range(1, steps + 1):
        dense = product_nt(torch.add(product - dual, sparse, alpha=penalty), inverse)
        shifted = torch.add(dense, dual, alpha=1 / penalty)
        removed = choose(shifted.square(), pattern)
        sparse = shifted.masked_fill_(removed, 0)
        dual.add_(dense, alpha=penalty).sub_(sparse, alpha=penalty)
        if step % _CHECK_EVERY:
            continue
        changed = int((removed ^ before).sum()) / kept
        if (grown and not changed) or (step >= _LEAST_STEPS and changed < _SETTLED):
            break
        before, grown = removed, grown or changed > 0
        penalty *= next(factor for least, factor in _GROWTH if changed >= least) if grown else _SHRINKING
        inverse = spectrum.inverse(penalty)
    return removed, sparse

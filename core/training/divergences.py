"""Losses between the predictions of two models, one per position: float [...] in nats from log-probabilities float [..., vocabulary].

The target is the teacher's or the original's p, found the student's q. A word that one side excludes (log-probability -inf) contributes its limit:
0 where p = 0 in a sum over p, infinity where p > 0 and q = 0. Equal predictions give exactly 0, and exactly zero gradients of q but for rounding of
the softmax itself.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log1p

import torch
from torch import Tensor
from torch.nn import functional

Divergence = Callable[[Tensor, Tensor], Tensor]
"""(target, found) log-probabilities [..., vocabulary] to [...]."""

SKEW = 0.1
"""Share of the first distribution in the mixture of a skew divergence (DistiLLM, arXiv 2402.03898)."""
_LARGE = 20.0
_NEVER = -1e4
"""A log-probability whose probability is 0 in every float type."""


def forward_kl(target: Tensor, found: Tensor) -> Tensor:
    """KL(p ‖ q): the divergence that `core.evaluate` measures."""
    excluded = target == -torch.inf
    if bool(excluded.any()):  # 0 times infinity is not a number to `kl_div`
        target, found = target.masked_fill(excluded, _NEVER), found.masked_fill(excluded, 0)
    return functional.kl_div(found, target, reduction="none", log_target=True).sum(-1)


def reverse_kl(target: Tensor, found: Tensor) -> Tensor:
    """KL(q ‖ p): the student is drawn to where the teacher is certain (MiniLLM, arXiv 2306.08543)."""
    return _expected(found, found - target)


def jensen_shannon(target: Tensor, found: Tensor) -> Tensor:
    """½ KL(p ‖ m) + ½ KL(q ‖ m) with m = ½ p + ½ q; at most ln 2."""
    return 0.5 * (_to_mixture(target, found, 0.5) + _to_mixture(found, target, 0.5))


def skew_forward_kl(target: Tensor, found: Tensor) -> Tensor:
    """KL(p ‖ α p + (1 - α) q) with α = `SKEW`: finite wherever q is."""
    return _to_mixture(target, found, SKEW)


def skew_reverse_kl(target: Tensor, found: Tensor) -> Tensor:
    """KL(q ‖ α q + (1 - α) p) with α = `SKEW`."""
    return _to_mixture(found, target, SKEW)


def total_variation(target: Tensor, found: Tensor) -> Tensor:
    """Half the L1 distance of the probabilities: 1 - it is the share of tokens drafted by `found` that speculative decoding accepts."""
    return 0.5 * (target.exp() - found.exp()).abs().sum(-1)


DIVERGENCES: dict[str, Divergence] = {
    "forward-kl": forward_kl,
    "reverse-kl": reverse_kl,
    "jensen-shannon": jensen_shannon,
    "skew-forward-kl": skew_forward_kl,
    "skew-reverse-kl": skew_reverse_kl,
    "total-variation": total_variation,
}


def _expected(weights: Tensor, values: Tensor) -> Tensor:
    """Σ exp(weights) values, where a word of probability 0 contributes nothing, not even to gradients."""
    excluded = weights == -torch.inf
    return (weights.exp() * values.masked_fill(excluded, 0)).masked_fill(excluded, 0).sum(-1)


def _to_mixture(own: Tensor, other: Tensor, share: float) -> Tensor:
    """KL(a ‖ share a + (1 - share) b), from the log-probabilities of a and b.

    With d = ln b - ln a it is -Σ a ln(share + (1 - share) eᵈ), which loses no digits where a and b are near each other.
    """
    excluded = own == -torch.inf
    distance = (other - own.masked_fill(excluded, 0)).masked_fill(excluded, 0)
    small = torch.log1p((1 - share) * torch.expm1(distance.clamp(max=_LARGE)))
    large = distance + log1p(-share) + torch.log1p(share / (1 - share) * torch.exp(-distance.clamp(min=_LARGE)))
    mixed = torch.where(distance > _LARGE, large, small)
    return -_expected(own, mixed)

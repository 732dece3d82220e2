"""Typical acceptance: Medusa's own rule. It is lossy: it changes the target's distribution."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON, DELTA = 0.09, 0.3
"""Thresholds of Medusa's published code (the paper's epsilon, and its square root as delta)."""


def threshold(probabilities: Tensor, epsilon: float = EPSILON, delta: float = DELTA) -> Tensor:
    """Least probability at which a candidate is taken: min(epsilon, delta exp(-entropy)) (arXiv 2401.10774, section 2.3.1).

    Args:
        probabilities: [..., V], warped.
        epsilon: hard bound, where the target is sure.
        delta: of the bound that falls with the entropy.

    Returns:
        [...].
    """
    entropy = -(probabilities * probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()).sum(-1)
    return torch.exp(-entropy).mul_(delta).clamp_(max=epsilon)

"""Make up for removed inputs of a linear by a bias: the mean of what they added (FLAP, arXiv 2312.11983)."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from core.calibration.statistics import InputStatistics
from core.prune.structure.inputs.activations import ActivationMeans


def bias_for(weight: Tensor, removed: Tensor, means: ActivationMeans | None) -> Tensor:
    """float32 [out]: the mean output of the inputs that are removed.

    Args:
        weight: float32 [out, in].
        removed: int64 [n].
        means: of the inputs.
    """
    assert means is not None
    return weight.index_select(1, removed) @ means.mean.index_select(0, removed)


def set_bias(linear: nn.Linear, added: Tensor) -> Tensor:
    """Add to a linear's bias, or give it one, for as long as the block is in memory; returns the bias in the dtype of the weight."""
    bias = added if linear.bias is None else linear.bias.detach().float() + added
    stored = bias.to(linear.weight.dtype)
    linear.bias = nn.Parameter(stored, requires_grad=False)
    return stored


def bias_error(original: Tensor, masked: Tensor, statistics: InputStatistics | None, means: ActivationMeans | None) -> float:
    """Relative error of the outputs when a bias makes up for the mean of the difference: √(tr(ΔW C ΔWᵀ) / tr(W H Wᵀ)), C = H - 2 μ μᵀ."""
    assert statistics is not None
    assert means is not None
    difference, hessian = masked - original, statistics.hessian
    squared = float(((difference @ hessian) * difference).sum(dtype=torch.float64)) - 2 * float((difference @ means.mean).double().square().sum())
    energy = float(((original @ hessian) * original).sum(dtype=torch.float64))
    return sqrt(max(squared, 0.0) / energy) if energy > 0 else 0.0

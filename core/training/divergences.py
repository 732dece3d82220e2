"""Losses between the predictions of two models, one a position: float32 [...] from log-probabilities float32 [..., vocabulary]."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def forward_kl(target: Tensor, found: Tensor) -> Tensor:
    """KL(target || found) in nats: the divergence that `core.evaluate` measures."""
    return functional.kl_div(found, target, reduction="none", log_target=True).sum(-1)


def total_variation(target: Tensor, found: Tensor) -> Tensor:
    """Half the L1 distance of the probabilities: 1 - it is the share of tokens drafted by `found` that speculative decoding accepts."""
    return 0.5 * (target.exp() - found.exp()).abs().sum(-1)

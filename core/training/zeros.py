"""Zeros that a training leaves in place: those of a pruned model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def held_zeros(model: nn.Module, least: float = 0.0) -> Callable[[], None]:
    """A function that sets to zero what is zero now, for use after each step.

    Args:
        model: whose linears are looked at.
        least: share of zeros below which a linear's are chance and may change, in [0, 1].
    """
    held = []
    for module in model.modules():
        if isinstance(module, nn.Linear):
            weight = module.weight.detach()
            zeros = weight == 0
            if bool(zeros.any()) and float(zeros.float().mean()) >= least:
                held.append((weight, zeros))

    @torch.no_grad()
    def hold() -> None:
        for weight, zeros in held:
            weight.masked_fill_(zeros, 0)

    return hold

"""A weight matrix after pruning, before it is written to a file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import RunFailed


@dataclass(frozen=True)
class Pruned:
    """A weight [out, in] with zeros where weights were removed."""

    weight: Tensor
    """float32 [out, in]: zero where removed; elsewhere as it was, or changed to make up for what was removed."""
    removed: Tensor
    """bool [out, in]."""
    losses: Tensor | None = None
    """float32 [in]: what each column adds to ½ tr(ΔW H_damped ΔWᵀ), from methods that know it."""
    notes: tuple[str, ...] = ()
    """What the user should know, for example that damping was raised."""

    @property
    def sparsity(self) -> float:
        """Share of weights that are exactly zero."""
        return float((self.weight == 0).sum()) / self.weight.numel()


def finite_weight(weight: Tensor) -> Tensor:
    """The weight in float32. Raises RunFailed: it holds NaN or infinity."""
    low, high = torch.aminmax(weight)
    if not bool(torch.isfinite(low) & torch.isfinite(high)):
        raise RunFailed("the weight contains NaN or Inf: the checkpoint is damaged, fetch it again")
    return weight.to(torch.float32)


def masked(weight: Tensor, removed: Tensor) -> Pruned:
    """Float32 [out, in] with zeros where `removed`, bool, is set, and no other change."""
    return Pruned(weight.masked_fill(removed, 0), removed)

"""What calibration learns of an input apart from its second moments: means over tokens, and sizes over sequences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ActivationMeans:
    """Mean of each feature over all tokens, and Minitron's size of each unit: its mean norm over a sequence, then the root of the summed squares.

    Args:
        features: width of the input.
        device: where the sums are kept.
        unit: consecutive features whose norm is taken together, for example those of a head; 1: magnitudes.
    """

    def __init__(self, features: int, device: torch.device | str = "cpu", unit: int = 1) -> None:
        self._sum = torch.zeros(features, dtype=torch.float64, device=device)
        self._squared = torch.zeros(features // unit, dtype=torch.float64, device=device)
        self._unit = unit
        self.tokens = 0

    def add(self, inputs: Tensor) -> None:
        """Take in sequences of features: any float [n, T, features]."""
        sequences = inputs.detach().reshape(-1, *inputs.shape[-2:]).float()
        self._sum += sequences.sum(dim=(0, 1), dtype=torch.float64)
        norms = sequences.abs() if self._unit == 1 else sequences.reshape(*sequences.shape[:-1], -1, self._unit).norm(dim=-1)
        self._squared += norms.mean(dim=1).double().square().sum(dim=0)
        self.tokens += sequences.shape[0] * sequences.shape[1]

    @property
    def mean(self) -> Tensor:
        """float32 [features]."""
        return (self._sum / max(self.tokens, 1)).float()

    @property
    def size(self) -> Tensor:
        """float32 [units]: the L2 norm over sequences of the mean norm in each (arXiv 2407.14679)."""
        return self._squared.sqrt().float()


@contextmanager
def watching(linear: nn.Linear, unit: int = 1) -> Iterator[ActivationMeans]:
    """The means of all that a linear is given within."""
    found = ActivationMeans(linear.in_features, linear.weight.device, unit)
    handle = linear.register_forward_pre_hook(lambda _module, arguments: found.add(arguments[0]))
    try:
        yield found
    finally:
        handle.remove()

"""Weights and Hessians for tests of masks."""

from __future__ import annotations

import torch
from torch import Tensor

from core.calibration.statistics import InputStatistics


def correlated_inputs(tokens: int, columns: int, seed: int) -> Tensor:
    """float32 [tokens, columns]: features of different size that depend on each other."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(columns) + 0.4 * torch.randn(columns, columns, generator=generator)
    return torch.randn(tokens, columns, generator=generator) @ mixing * torch.exp(0.5 * torch.randn(columns, generator=generator))


def problem(rows: int, columns: int, seed: int, tokens: int | None = None) -> tuple[Tensor, Tensor]:
    """A weight [rows, columns] and a Hessian [columns, columns]."""
    inputs = correlated_inputs(tokens or 4 * columns, columns, seed)
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed + 1)), 2 / len(inputs) * inputs.t() @ inputs


def statistics_of(inputs: Tensor) -> InputStatistics:
    statistics = InputStatistics(inputs.shape[1])
    statistics.add(inputs)
    return statistics


def damped(hessian: Tensor, damp: float) -> Tensor:
    return hessian.double() + damp * hessian.diagonal().double().mean() * torch.eye(len(hessian), dtype=torch.float64)


def objective(weight: Tensor, other: Tensor, hessian: Tensor) -> float:
    """½ tr(D H Dᵀ) in float64."""
    difference = (other - weight).double()
    return 0.5 * float((difference @ hessian.double() * difference).sum())


def zeros_in_groups(weight: Tensor, group: int) -> Tensor:
    return (weight.reshape(len(weight), -1, group) == 0).sum(dim=2)

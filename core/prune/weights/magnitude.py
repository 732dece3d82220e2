"""Magnitude: remove the weights that are nearest to zero, without calibration."""

from __future__ import annotations

from torch import Tensor

from core.calibration.statistics import InputStatistics
from core.prune.weights.config import MaskConfig
from core.prune.weights.order import choose
from core.prune.weights.pruned import Pruned, finite_weight, masked


def prune(weight: Tensor, statistics: InputStatistics | None, config: MaskConfig) -> Pruned:  # noqa: ARG001
    """Prune a weight [out, in]; `statistics` are not looked at. Raises RunFailed: the weight holds NaN or infinity."""
    values = finite_weight(weight)
    return masked(values, choose(values.abs(), config.pattern))

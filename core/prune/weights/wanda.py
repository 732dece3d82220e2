"""Wanda: remove the weights that matter least to the output, |weight| times the norm of its input. Source: Sun et al., arXiv 2306.11695."""

from __future__ import annotations

import torch
from torch import Tensor

from core.calibration.statistics import InputStatistics
from core.errors import RunFailed
from core.prune.weights.config import MaskConfig
from core.prune.weights.order import choose
from core.prune.weights.pruned import Pruned, finite_weight, masked


def prune(weight: Tensor, statistics: InputStatistics | None, config: MaskConfig) -> Pruned:
    """Prune a weight [out, in] by the mean squares of its inputs.

    Raises:
        RunFailed: the weight or the inputs hold NaN or infinity, or no input was ever seen.
        ValueError: no statistics were gathered.
    """
    if statistics is None:
        raise ValueError("Wanda needs statistics of the inputs")
    values = finite_weight(weight)
    return masked(values, choose(scores(values, statistics.mean_square), config.pattern))


def scores(weight: Tensor, mean_square: Tensor) -> Tensor:
    """How much each weight matters: float32 [out, in], |weight [out, in]| times the root of mean_square [in].

    Raises:
        RunFailed: a mean square is NaN or infinite.
    """
    if not torch.isfinite(mean_square).all():
        raise RunFailed("the calibration inputs contain NaN or Inf: evaluate the model, or calibrate in float32")
    return weight.abs() * mean_square.sqrt()

"""Which channels matter least: one function a criterion, from the weight that reads the channels and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.statistics import InputStatistics
from core.prune.structure.inputs.activations import ActivationMeans
from core.prune.structure.inputs.compensation import inverse_of, least_costly, lowest, unit_errors

_GREEDY_PARTS = 64


@dataclass(frozen=True)
class Channels:
    """What is known of the channels of one block."""

    weight: Tensor
    """Of down, float32 [out, channels]."""
    feeding: tuple[Tensor, ...]
    """Weights that make the channels, each float [channels, in]; of a fused linear both halves."""
    statistics: InputStatistics | None
    """Of the channels; None without calibration."""
    means: ActivationMeans | None
    damp: float


@dataclass(frozen=True)
class Choice:
    """What a criterion decides."""

    scores: Tensor
    """float32 [units]; larger is more important."""
    removed: Tensor
    """int64, ascending."""


def choose(criterion: str, channels: Channels, remove: int) -> Choice:
    """The channels that go by a criterion, and the scores of all."""
    if criterion == "obs":
        return _obs(channels, remove)
    scores = _SCORES[criterion](channels)
    return Choice(scores, lowest(scores, remove).sort().values)


def _obs(channels: Channels, remove: int) -> Choice:
    """Optimal brain surgeon: by the error that is left after least squares, scored again as channels go."""
    assert channels.statistics is not None
    inverse = inverse_of(channels.statistics.hessian, channels.damp)
    scores = unit_errors(channels.weight, inverse, 1)
    at_once = max(channels.weight.shape[1] // _GREEDY_PARTS, 1)
    return Choice(scores, least_costly(channels.weight, inverse, 1, remove, at_once).sort().values)


def _wanda(channels: Channels) -> Tensor:
    """‖W_j‖ √E[h_j²]: the root mean square of what a channel adds to the output (arXiv 2306.11695, by channel)."""
    assert channels.statistics is not None
    found: Tensor = channels.weight.norm(dim=0) * channels.statistics.mean_square.sqrt()
    return found


def _flap(channels: Channels) -> Tensor:
    """‖W_j‖² Var(h_j): what a channel adds and a bias could not replace (arXiv 2312.11983)."""
    assert channels.statistics is not None
    assert channels.means is not None
    variance = (channels.statistics.mean_square - channels.means.mean.square()).clamp_min(0)
    return channels.weight.square().sum(dim=0) * variance


def _minitron(channels: Channels) -> Tensor:
    """The size of the channel itself, whatever reads it (arXiv 2407.14679)."""
    assert channels.means is not None
    return channels.means.size


def _norm(channels: Channels) -> Tensor:
    """Product of the norms of the weights that make a channel and that read it; no text is needed."""
    norms = [channels.weight.norm(dim=0), *(weight.float().norm(dim=1) for weight in channels.feeding)]
    return torch.stack(norms).prod(dim=0)


_SCORES: dict[str, Callable[[Channels], Tensor]] = {"wanda": _wanda, "flap": _flap, "minitron": _minitron, "norm": _norm}

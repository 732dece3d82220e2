"""Which heads matter least: whole units of a block's attention output, in one row or the same number from every KV group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.calibration.statistics import InputStatistics
from core.prune.structure.inputs.activations import ActivationMeans
from core.prune.structure.inputs.channel_scores import Choice
from core.prune.structure.inputs.compensation import inverse_of, least_costly, lowest, unit_errors


@dataclass(frozen=True)
class Units:
    """What can go from a block."""

    weight: Tensor
    """Of the output linear, float32 [out, units * size]."""
    size: int
    """Inputs of a unit."""
    classes: int
    """Equal numbers go from each of so many runs of units; 1: whichever units matter least."""
    statistics: InputStatistics
    means: ActivationMeans
    damp: float


def choose(criterion: str, units: Units, remove: int) -> Choice:
    """The units that go by a criterion, `remove` in all, and the scores of all."""
    pick = _from_each(units.classes)
    if criterion == "obs":
        inverse = inverse_of(units.statistics.hessian, units.damp)
        scores = unit_errors(units.weight, inverse, units.size)
        removed = least_costly(units.weight, inverse, units.size, remove, units.classes, pick)
        return Choice(scores, removed.sort().values)
    scores = energies(units) if criterion == "energy" else units.means.size
    return Choice(scores, pick(scores, remove).sort().values)


def energies(units: Units) -> Tensor:
    """float32 [units]: ‖W_u H_uu^½‖², the energy of what a unit alone adds to the output, up to a factor."""
    hessian, size = units.statistics.hessian, units.size
    return torch.stack([_energy(units.weight[:, at : at + size], hessian[at : at + size, at : at + size]) for at in range(0, len(hessian), size)])


def _energy(weight: Tensor, hessian: Tensor) -> Tensor:
    return ((weight @ hessian) * weight).sum()


def _from_each(classes: int) -> Callable[[Tensor, int], Tensor]:
    """From scores and a number to that many units, the lowest of every class."""

    def pick(scores: Tensor, count: int) -> Tensor:
        each = len(scores) // classes
        chosen = [lowest(scores[begin : begin + each], count // classes) + begin for begin in range(0, len(scores), each)]
        return torch.cat(chosen)

    return pick

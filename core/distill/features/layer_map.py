"""Which block of the teacher each block of the student is to imitate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_SAME = 0.5
"""Relative distance below which a block is a trained, pruned or rounded copy of another."""


def layer_map(teacher: Sequence[nn.Module], student: Sequence[nn.Module]) -> tuple[int, ...]:
    """Numbers of the teacher's blocks, ascending, one for each of the student's.

    Where the student is made of the teacher's blocks, those: they are recognised by their weights, which pruning and a short training hardly
    move. Else spread evenly, the last on the last (TinyBERT, arXiv 1909.10351).
    """
    copied = _copies(teacher, student)
    if copied is not None:
        return copied
    return tuple(max(round((index + 1) * len(teacher) / len(student)) - 1, 0) for index in range(len(student)))


@torch.no_grad()
def _copies(teacher: Sequence[nn.Module], student: Sequence[nn.Module]) -> tuple[int, ...] | None:
    """The blocks of which the student's are copies; None where one is not, or their order is another."""
    targets = [_sample(block) for block in teacher]
    found = []
    for block in student:
        weight = _sample(block)
        distances = [float((weight - target).norm() / target.norm()) if weight.shape == target.shape else 2.0 for target in targets]
        best = min(range(len(distances)), key=distances.__getitem__)
        if not distances[best] < _SAME:
            return None
        found.append(best)
    return tuple(found) if all(before < after for before, after in pairwise(found)) else None


def _sample(block: nn.Module) -> Tensor:
    """A weight by which a block is recognised: its first matrix, which pruning channels leaves alone."""
    return next(parameter for parameter in block.parameters() if parameter.ndim >= 2).float()

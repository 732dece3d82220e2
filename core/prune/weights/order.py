"""The lowest of many scores, in exact numbers; of equal scores the one with the lower index."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.prune.weights.pattern import Pattern

_COMPARED = 16
"""Members of a group up to which all pairs are compared; larger groups are sorted."""


def choose(scores: Tensor, pattern: Pattern) -> Tensor:
    """Which weights go: bool [out, in], the lowest of the scores [out, in], none of them NaN, as the pattern counts.

    Raises:
        RequestError: groups do not divide a row.
    """
    rows, columns = scores.shape
    pattern.require_columns(columns, "the weight")
    if pattern.keep is not None:
        kept, group = pattern.keep
        grouped = scores.reshape(rows, -1, group)
        return lowest_of_group(grouped.movedim(2, 0), group - kept).movedim(0, 2).reshape(rows, columns)
    if pattern.scope == "matrix":
        return lowest(scores.reshape(1, -1), pattern.count(scores.numel())).view(rows, columns)
    return lowest(scores, pattern.count(columns))


def lowest(scores: Tensor, count: int) -> Tensor:
    """The `count` lowest scores of every row: bool [rows, columns].

    Args:
        scores: float [rows, columns], none of them NaN.
        count: 0 .. columns.
    """
    columns = scores.shape[1]
    if count <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    if count >= columns:
        return torch.ones_like(scores, dtype=torch.bool)
    limits = _smallest(scores, count)
    chosen = scores <= limits
    for row in (chosen.sum(dim=1) > count).nonzero().flatten().tolist():
        equal = (scores[row] == limits[row]).nonzero().flatten()
        below = count - int((scores[row] < limits[row]).sum())
        chosen[row, equal[below:]] = False
    return chosen


def _smallest(scores: Tensor, count: int) -> Tensor:
    """The score of this rank, from 1, in every row: [rows, 1]. On CPUs numpy's selection, which uses vector units, takes a tenth of torch's time."""
    if scores.device.type != "cpu":
        return scores.kthvalue(count, dim=1, keepdim=True).values
    return torch.from_numpy(np.partition(scores.detach().numpy(), count - 1, axis=1)[:, count - 1 : count].copy())


def lowest_of_group(scores: Tensor, count: int) -> Tensor:
    """The `count` lowest of the scores along the first dimension: float [members, ...] to bool of the same shape."""
    members = len(scores)
    if members > _COMPARED:
        order = torch.argsort(scores, dim=0, stable=True)
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(0, order[:count], True)
    before = torch.arange(members - 1, -1, -1, dtype=torch.int8, device=scores.device)  # how many come before it, were it above all later ones
    counts = before.view(-1, *[1] * (scores.dim() - 1)).repeat(1, *scores.shape[1:])
    values, each = scores.unbind(), counts.unbind()
    for left in range(members):
        for right in range(left + 1, members):
            first = (values[left] <= values[right]).view(torch.int8)
            each[right].add_(first)
            each[left].sub_(first)
    return counts < count

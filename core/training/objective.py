"""What a training minimises: a loss with named parts, over micro-batches that share one denominator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.errors import RunFailed
from core.training.batches import Batch


@dataclass(frozen=True)
class Loss:
    """Of one batch, or micro-batch; means over its `Batch.count` predictions."""

    total: Tensor
    """float []: what is minimised."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """float [] by name: the terms of the total, or whatever else is to be reported."""


Objective = Callable[[Batch], Loss]


def accumulate(objective: Objective, batch: Batch, rows: int | None = None, *, autocast: bool = False) -> Loss:
    """Add the gradient of a batch's mean loss to the parameters, micro-batch by micro-batch.

    Each micro-batch counts by its share of the batch's predictions, so that the sum is what the whole batch at once would give, however
    unevenly they are spread (a mean of the micro-batches' means would not be).

    Args:
        objective: gives means over what it is shown.
        batch: of one optimizer step.
        rows: of a micro-batch; None: the whole batch at once.
        autocast: compute in bfloat16 where PyTorch considers it safe.

    Returns:
        The same means over the whole batch, without gradients.

    Raises:
        RunFailed: no prediction of the batch counts.
    """
    whole = batch.count
    if not whole:
        raise RunFailed("a training step has no token that counts: check the mask of the training text, or make its windows longer")
    total, parts = torch.zeros((), device=batch.tokens.device), dict[str, Tensor]()
    for micro in batch.split(rows):
        share = micro.count / whole
        if not share:
            continue
        with torch.autocast(micro.tokens.device.type, dtype=torch.bfloat16, enabled=autocast):
            loss = objective(micro)
        (share * loss.total).backward()  # type: ignore[no-untyped-call]
        total = total + share * loss.total.detach()
        for name, part in loss.parts.items():
            parts[name] = parts.get(name, 0.0) + share * part.detach()
    return Loss(total, parts)

"""Zeros that a training holds."""

from __future__ import annotations

import torch
from torch import nn

from core.training.zeros import held_zeros


def test_zeros_of_linears_come_back_and_nothing_else_changes() -> None:
    embedding, half, chance = nn.Embedding(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)
    model = nn.Sequential(embedding, half, chance)
    with torch.no_grad():
        embedding.weight[1] = 0
        half.weight[:, ::2] = 0
        chance.weight[0, 0] = 0
    hold = held_zeros(model, least=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    hold()
    assert bool((half.weight[:, ::2] == 0).all())
    assert bool((half.weight[:, 1::2] != 0).all())
    assert bool((embedding.weight[1] != 0).all())
    assert float(chance.weight[0, 0]) != 0

"""A student's blocks are matched with those that they are copies of, else evenly."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from core.distill.features.layer_map import layer_map


def blocks(count: int, seed: int = 0) -> list[nn.Module]:
    torch.manual_seed(seed)
    return [nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)) for _ in range(count)]


def cut(teacher: Sequence[nn.Module], kept: Sequence[int], noise: float = 0.0) -> list[nn.Module]:
    found = [copy.deepcopy(teacher[index]) for index in kept]
    with torch.no_grad():
        for block in found:
            for parameter in block.parameters():
                parameter.add_(noise * parameter.std() * torch.randn(parameter.shape))
    return found


@pytest.mark.parametrize("noise", [0.0, 0.2], ids=["as it was", "after some training"])
@pytest.mark.parametrize("kept", [(0, 3, 9), (1, 2, 4, 5), tuple(range(10))])
def test_copies_are_recognised(kept: tuple[int, ...], noise: float) -> None:
    teacher = blocks(10)
    assert layer_map(teacher, cut(teacher, kept, noise)) == kept


def test_pruned_weights_are_still_copies() -> None:
    teacher = blocks(6)
    student = cut(teacher, (0, 2, 5))
    with torch.no_grad():
        for block in student:
            for parameter in block.parameters():
                parameter[parameter.abs() < parameter.abs().median() * 0.8] = 0
    assert layer_map(teacher, student) == (0, 2, 5)


def test_other_models_are_matched_evenly_the_last_with_the_last() -> None:
    assert layer_map(blocks(12), blocks(4, seed=5)) == (2, 5, 8, 11)
    assert layer_map(blocks(10), blocks(7, seed=5))[-1] == 9
    assert layer_map(blocks(3), [nn.Sequential(nn.Linear(6, 6))]) == (2,)


def test_blocks_in_another_order_are_not_the_teachers() -> None:
    teacher = blocks(6)
    assert layer_map(teacher, cut(teacher, (4, 1, 2))) == (1, 3, 5)

"""Losses between predictions against their definitions in float64."""

from __future__ import annotations

import torch

from core.training.divergences import forward_kl, total_variation


def test_they_are_what_their_definitions_say_one_a_position() -> None:
    draw = torch.Generator().manual_seed(0)
    target, found = (torch.randn(2, 5, 11, generator=draw, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    p, q = target.exp(), found.exp()
    torch.testing.assert_close(forward_kl(target, found), (p * (p / q).log()).sum(-1))
    torch.testing.assert_close(total_variation(target, found), 1 - torch.minimum(p, q).sum(-1))
    assert not forward_kl(target, target).any()

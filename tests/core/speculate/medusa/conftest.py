"""A small random target with heads that are sometimes right."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.speculate.medusa.heads import MedusaHeads
from core.speculate.medusa.tree import CandidateTree, grow
from tests.conftest import TINY_LLAMA


@pytest.fixture(scope="session")
def target() -> Any:
    """A random Llama whose predictions are peaked enough to have clear argmaxes; float32."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    model = LlamaForCausalLM(LlamaConfig(**{**TINY_LLAMA, "vocab_size": 48, "max_position_embeddings": 256})).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(12)
    return model.requires_grad_(False)


@pytest.fixture
def heads(target: Any) -> MedusaHeads:
    torch.manual_seed(0)
    made = MedusaHeads.on(target, 3, 32)
    for linear in made.second:
        torch.nn.init.normal_(linear.weight, std=0.3)  # type: ignore[arg-type]
    return made.requires_grad_(False).train(False)


@pytest.fixture(scope="session")
def tree() -> CandidateTree:
    """Twenty-odd nodes over three heads, wide enough that random heads are right now and then."""
    ranks = torch.distributions.Geometric(0.3).sample((4000, 3)).long()
    ranks[ranks > 7] = -1
    return grow(ranks, 24)

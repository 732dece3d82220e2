"""Small targets and drafts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def llama(vocabulary: int, layers: int, seed: int, spread: float = 0.2) -> PreTrainedModel:
    """A random Llama in float64, so that one forward over many tokens and many over one agree far beyond any tie."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=spread,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).double().eval().requires_grad_(False)


@pytest.fixture(scope="session")
def target() -> PreTrainedModel:
    """Four blocks over 40 tokens."""
    return llama(40, 4, 0)


@pytest.fixture(scope="session")
def small() -> PreTrainedModel:
    """One block over the same tokens, and no kinship."""
    return llama(40, 1, 1)

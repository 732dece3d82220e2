"""Nucleus sampling over a large vocabulary, where only the likeliest tokens are looked at, against transformers' own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TopPLogitsWarper

from core.runtime import sampling
from core.runtime.sampling import Sampling, warp


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.9, 0.99]), st.sampled_from([0.3, 2.0, 6.0]))
def test_it_keeps_what_transformers_keeps(seed: int, top_p: float, spread: float) -> None:
    """Flat distributions, whose nucleus is large, and steep ones."""
    scores = spread * torch.randn(3, 2000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = TopPLogitsWarper(top_p)(torch.empty(0), scores).softmax(-1)
    assert torch.allclose(warp(scores, Sampling(1.0, top_p=top_p)), expected, rtol=1e-12, atol=0)


def test_steep_distributions_are_not_sorted_and_flat_ones_are() -> None:
    steep, flat = torch.arange(1000.0, dtype=torch.float64)[None], torch.zeros(1, 1000, dtype=torch.float64)
    assert sampling._top_p_of_few(steep, 0.9) is not None
    assert sampling._top_p_of_few(flat, 0.9) is None
    assert sampling._top_p_of_few(torch.cat((steep, flat)), 0.9) is None


@pytest.mark.parametrize("top_k", [0, 5])
def test_forbidden_tokens_stay_forbidden(top_k: int) -> None:
    scores = torch.randn(2, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    scores[:, ::2] = -torch.inf
    law = warp(scores, Sampling(1.0, top_k=top_k, top_p=0.8))
    assert float(law[:, ::2].sum()) == 0.0
    assert torch.allclose(law.sum(-1), torch.ones(2, dtype=torch.float64))

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


def test_only_flat_distributions_are_sorted() -> None:
    steep, flat = torch.arange(1000.0, dtype=torch.float64), torch.zeros(1000, dtype=torch.float64)
    both = torch.stack((steep, flat, steep)).expand(2, 3, 1000)
    assert sampling._top_p_of_few(both, 0.9)[1].tolist() == [[False, True, False]] * 2
    law = warp(both, Sampling(1.0, top_p=0.9))
    assert torch.equal(law[0, 0], warp(steep, Sampling(1.0, top_p=0.9)))
    assert int((law[1, 1] > 0).sum()) in {900, 901}
    assert torch.equal(warp(flat, Sampling(1.0, top_p=0.9)), law[0, 1])


@pytest.mark.parametrize("top_k", [0, 5])
def test_forbidden_tokens_stay_forbidden(top_k: int) -> None:
    scores = torch.randn(2, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    scores[:, ::2] = -torch.inf
    law = warp(scores, Sampling(1.0, top_k=top_k, top_p=0.8))
    assert float(law[:, ::2].sum()) == 0.0
    assert torch.allclose(law.sum(-1), torch.ones(2, dtype=torch.float64))

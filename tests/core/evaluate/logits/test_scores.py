"""Statistics over the vocabulary against float64 by the textbook formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.evaluate.logits.scores import kl_divergence, negative_log_likelihood, rows


def textbook_kl(reference: Tensor, logits: Tensor) -> Tensor:
    p, q = reference.double().log_softmax(-1), logits.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


@given(st.integers(0, 2**31), st.integers(2, 300), st.sampled_from([1e-3, 0.1, 3.0]), st.sampled_from([0.0, -40.0, 100.0]))
def test_kl_and_nll_are_those_of_float64(seed: int, vocabulary: int, noise: float, offset: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(7, vocabulary, generator=generator) * 3
    other = reference + torch.randn(7, vocabulary, generator=generator) * noise + offset
    targets = torch.randint(0, vocabulary, (7,), generator=generator)
    a, b = rows(reference), rows(other)
    torch.testing.assert_close(kl_divergence(a, b), textbook_kl(reference, other), rtol=1e-5, atol=1e-6)
    expected = torch.nn.functional.cross_entropy(other.double(), targets, reduction="none")
    torch.testing.assert_close(negative_log_likelihood(b, targets), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(b.top, other.argmax(-1))


def test_a_model_does_not_diverge_from_itself_at_all() -> None:
    found = rows(torch.randn(50, 1000))
    assert kl_divergence(found, found).abs().max() == 0


def test_small_divergences_survive_a_large_vocabulary() -> None:
    """The divergence of an 8-bit model is some 1e-5 nats: rounding must stay well below."""
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(16, 128_000, generator=generator) * 4
    other = reference + torch.randn(16, 128_000, generator=generator) * 4e-3
    torch.testing.assert_close(kl_divergence(rows(reference), rows(other)), textbook_kl(reference, other), rtol=0, atol=3e-7)


def test_masked_tokens_add_nothing_when_both_mask_them_and_are_infinitely_far_when_only_the_model_does() -> None:
    reference, model = torch.tensor([[1.0, 2.0, -torch.inf]]), torch.tensor([[1.5, 2.0, -torch.inf]])
    torch.testing.assert_close(kl_divergence(rows(reference), rows(model)), textbook_kl(reference[:, :2], model[:, :2]))
    assert kl_divergence(rows(torch.zeros(1, 3)), rows(model)).item() == torch.inf


def test_half_precision_logits_are_summed_in_single() -> None:
    logits = torch.randn(4, 5000).bfloat16()
    targets = torch.tensor([0, 1, 2, 4999])
    expected = torch.nn.functional.cross_entropy(logits.double(), targets, reduction="none")
    torch.testing.assert_close(negative_log_likelihood(rows(logits), targets), expected, rtol=0, atol=1e-6)


def test_the_logits_given_are_left_alone() -> None:
    logits = torch.randn(3, 9)
    before = logits.clone()
    rows(logits)
    assert torch.equal(logits, before)


@pytest.mark.parametrize(("vocabulary", "error"), [(1, 0.0), (63, 2e-7), (64, 2e-7), (320, 3e-8), (4097, 3e-8)])
def test_totals_are_those_of_float64(vocabulary: int, error: float) -> None:
    logits = torch.randn(7, vocabulary, generator=torch.Generator().manual_seed(vocabulary))
    shifted = logits - logits.max(dim=-1, keepdim=True).values
    torch.testing.assert_close(rows(logits).total, shifted.exp().double().sum(dim=-1), rtol=error, atol=0.0)

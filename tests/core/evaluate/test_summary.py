"""Standard errors of tokens that depend on each other, held against means of many texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.evaluate.summary import divergence_of, perplexity_of

Texts = np.ndarray
RUNS, TOKENS = 200, 4096


def noise(seed: int) -> Texts:
    return np.random.default_rng(seed).standard_normal((RUNS, TOKENS + 64))


def independent() -> Texts:
    return noise(0)[:, :TOKENS]


def of_documents() -> Texts:
    """Stretches of 24 tokens of one difficulty."""
    return np.repeat(noise(1)[:, : TOKENS // 24 + 1], 24, axis=1)[:, :TOKENS] + noise(2)[:, :TOKENS]


def fading() -> Texts:
    """Each token like the one before it: autoregressive, coefficient 0.8."""
    found = noise(3)
    for at in range(1, found.shape[1]):
        found[:, at] += 0.8 * found[:, at - 1]
    return found[:, 64:]


def averaged() -> Texts:
    """Moving averages over 16 tokens."""
    sums = noise(4).cumsum(axis=1)
    return (sums[:, 16:] - sums[:, :-16])[:, :TOKENS] / 16


@pytest.mark.parametrize("texts", [independent, of_documents, fading, averaged])
def test_the_stated_error_is_the_spread_of_the_means(texts: object) -> None:
    assert callable(texts)
    found = torch.from_numpy(np.ascontiguousarray(texts()))
    spread = float(found.mean(dim=1).std())
    stated = [perplexity_of(values).nll_se for values in found]
    assert 0.88 * spread < float(np.mean(stated)) < 1.12 * spread
    assert float(np.quantile(stated, 0.05)) > 0.7 * spread


def test_every_figure_of_a_comparison_has_such_an_error() -> None:
    values = torch.from_numpy(np.ascontiguousarray(of_documents()[0]))
    alike = divergence_of(torch.zeros_like(values), values, values, values > 0)
    independent_error = float(values.std()) / TOKENS**0.5
    assert alike.kl_se == alike.ln_ppl_ratio_se == perplexity_of(values).nll_se
    assert alike.kl_se > 2 * independent_error
    assert alike.top1_se > 1.5 * (alike.top1_agreement * (1 - alike.top1_agreement) / TOKENS) ** 0.5


def test_tokens_that_make_up_for_each_other_are_no_better_than_independent_ones() -> None:
    values = torch.tensor([1.0, -1.0] * 512, dtype=torch.float64)
    assert perplexity_of(values).nll_se == pytest.approx(float(values.std()) / 32)


@pytest.mark.parametrize("count", [2, 3, 9, 70])
def test_few_tokens_have_an_error_too(count: int) -> None:
    values = torch.arange(count, dtype=torch.float64)
    assert perplexity_of(values).nll_se >= (1 - 1e-9) * float(values.std()) / count**0.5

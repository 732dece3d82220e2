"""The warped distribution against transformers' own processors, and draws against it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper
from transformers.generation.logits_process import TopPLogitsWarper

from core.errors import RequestError
from core.runtime.sampling import Sampling, SeenTokens, choose, draw, warp

VOCABULARY = 50

SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, VOCABULARY + 5),
    top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 0.9),
    repetition_penalty=st.sampled_from([1.0, 0.7, 1.3]),
)


def by_transformers(logits: Tensor, text: Tensor, sampling: Sampling) -> Tensor:
    chain = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty), TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_k:
        chain.append(TopKLogitsWarper(min(sampling.top_k, VOCABULARY)))
    chain.append(TopPLogitsWarper(sampling.top_p))
    chain.append(MinPLogitsWarper(sampling.min_p))
    return chain(text, logits.clone()).softmax(-1)  # type: ignore[arg-type]


@given(SAMPLINGS, st.integers(0, 2**32 - 1))
def test_the_distribution_is_transformers(sampling: Sampling, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, VOCABULARY, generator=generator, dtype=torch.float64)
    text = torch.randint(0, VOCABULARY, (2, 7), generator=generator)
    found = warp(logits, sampling, SeenTokens(text, VOCABULARY, sampling).mask)
    torch.testing.assert_close(found, by_transformers(logits, text, sampling), atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, dtype=torch.float64))


def test_a_temperature_of_zero_is_the_likeliest_token() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]])
    assert warp(logits, Sampling()).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert choose(logits, Sampling()).tolist() == [1, 0]


def test_the_penalty_counts_at_a_temperature_of_zero_too() -> None:
    sampling = Sampling(repetition_penalty=2.0)
    seen = SeenTokens(torch.tensor([[1]]), 3, sampling)
    logits = torch.tensor([[0.0, 2.0, 1.5]])
    assert choose(logits, sampling, seen.mask).tolist() == [2]
    seen.add(torch.tensor([[2]]))
    assert choose(torch.tensor([[0.9, 2.0, 1.5]]), sampling, seen.mask).tolist() == [1]


def test_padding_is_not_text() -> None:
    sampling = Sampling(repetition_penalty=2.0)
    seen = SeenTokens(torch.tensor([[0, 1], [0, 1]]), 3, sampling, torch.tensor([[False, True], [True, True]]))
    assert seen.mask is not None
    assert seen.mask.tolist() == [[False, True, False], [True, True, False]]


def test_draws_have_the_frequencies_of_the_distribution() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.3, 0.0, 0.15, 0.05, 0.0], dtype=torch.float64)
    count = 200_000
    drawn = draw(probabilities.expand(count, -1), torch.Generator().manual_seed(1))
    frequencies = torch.bincount(drawn, minlength=7).double() / count
    assert frequencies[[0, 3, 6]].tolist() == [0, 0, 0]
    errors = (probabilities * (1 - probabilities) / count).sqrt().clamp_min(1e-12)
    assert ((frequencies - probabilities).abs() / errors).max() < 4.5


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_a_draw_at_the_ends_never_finds_a_token_of_probability_zero(monkeypatch: pytest.MonkeyPatch, uniform: float) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, uniform, dtype=torch.float64))
    probabilities = torch.tensor([0.0, 0.1, 0.2, 0.7 - 1e-17, 0.0], dtype=torch.float64)
    assert draw(probabilities).item() in (1, 3)


def test_equal_seeds_give_equal_tokens() -> None:
    logits = torch.randn(64, VOCABULARY, generator=torch.Generator().manual_seed(3))
    first, again, other = (choose(logits, Sampling(1.0), None, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_k": -1}, "top-k"),
        ({"top_p": 0}, "top-p"),
        ({"top_p": 1.5}, "top-p"),
        ({"min_p": 1}, "min-p"),
        ({"repetition_penalty": 0}, "repetition-penalty"),
    ],
)
def test_values_outside_their_range_are_refused(values: dict[str, float], word: str) -> None:
    with pytest.raises(RequestError, match=word):
        Sampling(**values)  # type: ignore[arg-type]

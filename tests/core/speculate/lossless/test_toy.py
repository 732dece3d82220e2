"""The losslessness test tells the right rule from the five wrong ones."""

from __future__ import annotations

import itertools

import pytest
import torch

from core.runtime.sampling import Sampling, warp
from core.speculate.lossless.statistics import compare
from core.speculate.lossless.toy import Toy, speculative_counts
from tests.core.speculate.wrong import Variant, right, variants

SAMPLING = Sampling(temperature=0.8, top_p=0.9)
LENGTH, DRAWS = 5, 100_000
TOY = Toy.make()
WRONG = list(variants(TOY, SAMPLING))


def passes(variant: Variant, draws: int = DRAWS, seed: int = 1) -> list[bool]:
    counts = speculative_counts(
        variant.target,
        variant.drawn,
        variant.claimed,
        gamma=3,
        length=LENGTH,
        draws=draws,
        generator=torch.Generator().manual_seed(seed),
        verify=variant.verify,
    )
    assert counts.sum(1).tolist() == [draws] * LENGTH
    exact = TOY.marginals(0, SAMPLING, LENGTH)
    return [compare(counts[position], exact[position], 0.01 / LENGTH).passed for position in range(LENGTH)]


@pytest.mark.parametrize("name", ["drawn draft", "greedy draft"])
def test_the_right_rule_stays_within_its_bound(name: str) -> None:
    assert all(passes(right(TOY, SAMPLING)[name]))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_leaves_its_bound_at_the_first_token(name: str) -> None:
    assert not passes(variants(TOY, SAMPLING)[name](), draws=20_000)[0]


def test_the_marginals_are_those_of_all_texts() -> None:
    """By enumeration of every text of three tokens."""
    toy = Toy.make(4, seed=3)
    steps = warp(toy.target, SAMPLING)
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for text in itertools.product(range(4), repeat=3):
        probability = steps[0, text[0]] * steps[text[0], text[1]] * steps[text[1], text[2]]
        for position, token in enumerate(text):
            expected[position, token] += probability
    assert torch.allclose(toy.marginals(0, SAMPLING, 3), expected, atol=1e-14)

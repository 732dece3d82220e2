"""The allocator against every assignment there is."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.measure import knapsack
from core.quantize.whole.allocate import Assignment, Choice, least_loss, least_size

CHOICES = st.lists(
    st.lists(st.builds(Choice, bits=st.integers(2, 8), bytes=st.integers(1, 60), loss=st.floats(0, 10, width=32)), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


def every(choices: list[list[Choice]]) -> list[tuple[int, float]]:
    return [(sum(choice.bytes for choice in taken), sum(choice.loss for choice in taken)) for taken in itertools.product(*choices)]


def consistent(choices: list[list[Choice]], found: Assignment) -> bool:
    taken = [of_linear[index] for of_linear, index in zip(choices, found.chosen, strict=True)]
    return found.exact and found.bytes == sum(choice.bytes for choice in taken) and found.loss == pytest.approx(sum(choice.loss for choice in taken))


@settings(max_examples=300, deadline=None)
@given(choices=CHOICES, share=st.floats(0, 1))
def test_no_assignment_within_the_budget_loses_less(choices: list[list[Choice]], share: float) -> None:
    sizes = [size for size, _ in every(choices)]
    budget = round(min(sizes) + share * (max(sizes) - min(sizes)))
    found = least_loss(choices, budget)
    assert consistent(choices, found)
    assert found.bytes <= budget
    assert found.loss == pytest.approx(min(loss for size, loss in every(choices) if size <= budget), rel=1e-9, abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(choices=CHOICES, share=st.floats(0, 1))
def test_no_assignment_within_the_loss_is_smaller(choices: list[list[Choice]], share: float) -> None:
    losses = [loss for _, loss in every(choices)]
    limit = min(losses) + share * (max(losses) - min(losses))
    found = least_size(choices, max(limit, sum(min(choice.loss for choice in of_linear) for of_linear in choices)))
    assert consistent(choices, found)
    assert found.loss <= limit * (1 + 1e-9) + 1e-12
    assert found.bytes <= min((size for size, loss in every(choices) if loss <= limit), default=found.bytes)


def test_more_budget_never_loses_more_and_a_model_of_ordinary_size_is_quick() -> None:
    generator = np.random.default_rng(0)
    weights = generator.choice([4096 * 4096, 4096 * 1024, 11008 * 4096], 224)
    harm = generator.lognormal(0, 1.5, 224)
    widths = (2, 3, 4, 5, 6, 8)
    choices = [[Choice(b, int(n) * b // 8 + int(n) // 64, float(h * 4.0**-b)) for b in widths] for n, h in zip(weights, harm, strict=True)]
    began = time.perf_counter()
    found = [least_loss(choices, int(weights.sum() * bits / 8)) for bits in (2.5, 3.125, 4.125, 6.5)]
    assert time.perf_counter() - began < 10
    assert all(assignment.exact for assignment in found)
    losses = [assignment.loss for assignment in found]
    assert losses == sorted(losses, reverse=True)
    uniform = sum(of_linear[1].loss for of_linear in choices)
    assert found[1].loss < 0.8 * uniform


def test_the_two_questions_answer_each_other() -> None:
    choices = [[Choice(bits, 100 * bits, weight * 4.0**-bits) for bits in (2, 3, 4, 8)] for weight in (1.0, 3.0, 0.2, 7.0, 2.5)]
    found = least_loss(choices, 1700)
    back = least_size(choices, found.loss)
    assert back.bytes <= found.bytes
    assert back.loss == pytest.approx(found.loss)


def test_what_cannot_be_reached_is_refused_with_what_can() -> None:
    choices = [[Choice(2, 10, 0.5), Choice(4, 20, 0.1)]] * 3
    with pytest.raises(RequestError, match="below the 30 needed by the smallest widths"):
        least_loss(choices, 29)
    with pytest.raises(RequestError, match=r"the best of these widths lose 0\.3"):
        least_size(choices, 0.2)


def test_with_too_many_partial_sums_the_answer_is_good_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    choices = [[Choice(b, int(generator.integers(1, 10**6)), float(generator.random())) for b in range(2, 7)] for _ in range(12)]
    budget = sum(min(choice.bytes for choice in of_linear) for of_linear in choices) + 1_500_000
    best = least_loss(choices, budget)
    monkeypatch.setattr(knapsack, "_STATES", 4)
    thinned = least_loss(choices, budget)
    assert best.exact
    assert not thinned.exact
    assert thinned.bytes <= budget
    assert best.loss <= thinned.loss <= best.loss * 1.2

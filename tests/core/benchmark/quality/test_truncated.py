"""The truncated divergence against the whole one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.benchmark.quality.truncated import divergences, truncated_kl
from core.engine import TokenScore, TopToken

SEEDS = st.integers(0, 2**32 - 1)
Row = NDArray[np.float64]


def drawn(seed: int, size: int) -> tuple[Row, Row]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, size)
    rows = [logits, logits + generator.normal(0, 1, size)]
    first, second = (row - np.log(np.exp(row).sum()) for row in rows)
    return first, second


def whole(p: Row, q: Row) -> float:
    return float((np.exp(p) * (p - q)).sum())


def top(row: Row, count: int) -> dict[int | str, float]:
    return {int(token): float(row[token]) for token in np.argsort(row)[::-1][:count]}


@given(SEEDS, st.integers(2, 50))
def test_of_all_tokens_it_is_the_divergence(seed: int, size: int) -> None:
    p, q = drawn(seed, size)
    assert truncated_kl(top(p, size), top(q, size)) == pytest.approx(whole(p, q), abs=1e-5)


@given(SEEDS, st.integers(2, 50), st.integers(1, 49))
def test_of_some_tokens_it_is_never_more(seed: int, size: int, count: int) -> None:
    p, q = drawn(seed, size)
    found = truncated_kl(top(p, min(count, size)), top(q, min(count, size)))
    assert 0.0 <= found <= whole(p, q) + 1e-5


def test_two_tokens_by_hand() -> None:
    p, q = {"a": math.log(0.5), "b": math.log(0.3)}, {"a": math.log(0.25), "c": math.log(0.6)}
    assert truncated_kl(dict(p), dict(q)) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75))  # type: ignore[arg-type]
    assert truncated_kl(dict(p), dict(p)) == 0.0  # type: ignore[arg-type]
    assert truncated_kl({}, {}) == 0.0
    assert truncated_kl({"a": 0.0, "b": -math.inf}, {"a": math.log(0.5), "b": math.log(0.5)}) == pytest.approx(math.log(2))


def score(text: str, number: int | None, *top_tokens: tuple[str, int | None, float]) -> TokenScore:
    return TokenScore(text, math.log(0.1), number, tuple(TopToken(name, value, token) for name, token, value in top_tokens))


def test_servers_are_compared_by_numbers_else_by_texts() -> None:
    numbered = score("", 5, ("", 7, math.log(0.5)))
    named = score("x", None, ("y", None, math.log(0.5)))
    both = score("x", 5, ("y", 7, math.log(0.5)))
    assert divergences([numbered], [both]) == [pytest.approx(0.0, abs=1e-12)]
    assert divergences([named], [both]) == [pytest.approx(0.0, abs=1e-12)]
    assert divergences([numbered], [named]) == []
    assert divergences([named], [named, named]) == []
    assert divergences([score("x", 5)], [both]) == []

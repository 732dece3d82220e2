"""Bytes by formula are the bytes of the tensors that a layer holds, at any length, however the tokens came."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.catalog.sizes import span
from tests.core.kvcache.schemes.making import MINE, fill, geometry, layer, states

SIZES = [
    SchemeSettings(group=8, residual=16, budget=24, sinks=3, observed=6),
    SchemeSettings(group=32, residual=32, budget=10, sinks=0, observed=3),
    SchemeSettings(group=5, residual=20, budget=33, sinks=4, observed=32),
]


@pytest.mark.parametrize("name", MINE)
@settings(max_examples=30)
@given(
    sizes=st.sampled_from(SIZES),
    shape=st.builds(geometry, st.sampled_from([8, 16, 20]), st.sampled_from([1, 2, 4])),
    tokens=st.integers(1, 90),
    cuts=st.lists(st.integers(1, 50), max_size=5),
    batch=st.integers(1, 3),
)
def test_bytes_by_formula_are_the_bytes_held(name: str, sizes: SchemeSettings, shape: object, tokens: int, cuts: list[int], batch: int) -> None:
    assert isinstance(shape, type(geometry()))
    held = layer(name, sizes, shape)
    keys, values = states(shape, tokens, batch=batch)
    fill(held, keys, values, cuts)
    held.prefilled()
    assert held.seen == tokens
    assert held.nbytes == SCHEMES[name].formula(shape, sizes, tokens, batch)


@given(prompt=st.integers(1, 60), answer=st.integers(0, 30))
def test_snapkv_cuts_the_prompt_and_appends_the_answer(prompt: int, answer: int) -> None:
    sizes = SchemeSettings(budget=24, observed=6, prompted=prompt)
    held = layer("snapkv", sizes)
    fill(held, *states(geometry(), prompt + answer), [prompt], prompt=prompt)
    assert held.held == min(prompt, 24) + answer
    assert held.nbytes == SCHEMES["snapkv"].formula(geometry(), sizes, prompt + answer, 1)


@pytest.mark.parametrize("name", MINE)
def test_a_formula_counts_all_blocks_and_sequences(name: str) -> None:
    formula = SCHEMES[name].formula
    one = formula(geometry(), SIZES[0], 50, 1)
    assert formula(geometry(layers=7), SIZES[0], 50, 3) == 21 * one
    assert formula(geometry(), SIZES[0], 0, 1) == 0


@pytest.mark.parametrize(("name", "bits"), [("int8", 8.5), ("int4", 5.0), ("fp8-e4m3", 8.125), ("kivi-4", 5.0), ("kivi-2", 3.0), ("dynamic", 16.0)])
def test_bits_a_value_count_the_scales(name: str, bits: float) -> None:
    """2 bits with a float16 scale and lowest value for each 32 are 3 bits a value."""
    shape = geometry(head_dim=128, kv_heads=8, value_bytes=2)
    formula, sizes = SCHEMES[name].formula, SchemeSettings(group=32, residual=32)
    of_more = formula(shape, sizes, 32 * 100, 1) - formula(shape, sizes, 32 * 50, 1)
    assert of_more * 8 / (32 * 50 * shape.values_per_token) == bits


@pytest.mark.parametrize("name", ["sliding", "streaming", "h2o"])
def test_what_is_evicted_is_freed(name: str) -> None:
    sizes = SchemeSettings(budget=32, sinks=4)
    held = layer(name, sizes)
    fill(held, *states(geometry(), 700), [600])
    token = 2 * geometry().row_bytes
    reserved = getattr(held, "reserved")  # noqa: B009
    assert held.nbytes <= 33 * (token + 8)
    assert reserved <= held.nbytes + 2 * token, "at most a place for the next token lies idle"


def test_snapkv_frees_what_it_does_not_keep() -> None:
    sizes = SchemeSettings(budget=64, observed=8)
    held = layer("snapkv", sizes)
    fill(held, *states(geometry(), 1000), [500, 500])
    before = getattr(held, "reserved")  # noqa: B009
    held.prefilled()
    assert getattr(held, "reserved") == 64 * 2 * geometry().row_bytes < before / 10  # noqa: B009


@given(st.integers(1, 300), st.integers(1, 300))
def test_groups_of_channels_always_fill_a_head(head_dim: int, group: int) -> None:
    size = span(head_dim, group)
    assert head_dim % size == 0
    assert size <= group
    assert size == group or head_dim % group

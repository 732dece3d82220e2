"""Quantized caches give back what a loop over single groups gives, and a model through them says the same as with that loop in its cache."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from core.errors import RequestError
from core.kvcache.catalog.settings import SchemeSettings
from tests.core.kvcache.schemes import naive
from tests.core.kvcache.schemes.making import cache_for, fill, geometry, layer, states, tiny_llama

QUANTIZED = tuple(naive.SCHEMES)
PER_TOKEN = QUANTIZED[:4]
SETTINGS = SchemeSettings(group=8, residual=16)


@pytest.mark.parametrize("name", QUANTIZED)
@settings(max_examples=12)
@given(tokens=st.integers(2, 60), cuts=st.lists(st.integers(1, 40), max_size=4), seed=st.integers(0, 1000))
def test_gives_back_what_a_loop_gives(name: str, tokens: int, cuts: list[int], seed: int) -> None:
    shape = geometry()
    keys, values = states(shape, tokens, seed)
    cache = layer(name, SETTINGS, shape)
    if tokens > 1:
        fill(cache, keys[:, :, :-1], values[:, :, :-1], cuts)
    found = cache.append(keys[:, :, -1:], values[:, :, -1:])
    expected = naive.quantized(keys[:, :, :-1], values[:, :, :-1], naive.SCHEMES[name](8, 16))
    for got, old, new in zip(found, expected, (keys, values), strict=True):
        torch.testing.assert_close(got[:, :, :-1], old, rtol=1e-5, atol=1e-5)
        assert torch.equal(got[:, :, -1:], new[:, :, -1:]), "the new token is looked at as it came"
    assert cache.seen == tokens


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_model_says_the_same_as_with_rounded_keys_and_values_in_transformers_cache(name: str) -> None:
    model = tiny_llama()
    tokens = torch.randint(0, 64, (2, 45), generator=torch.Generator().manual_seed(3))
    ours, theirs = cache_for(model, name, SETTINGS), naive.FakeQuantizedCache(naive.SCHEMES[name](8, 16))
    full = DynamicCache()
    differs = 0.0
    for first, last in [(0, 20), (20, 37), *((at, at + 1) for at in range(37, 45))]:
        answers = [model(tokens[:, first:last], past_key_values=cache).logits for cache in (ours, theirs, full)]
        torch.testing.assert_close(answers[0], answers[1], rtol=1e-4, atol=1e-4)
        differs = max(differs, float((answers[0] - answers[2]).abs().max()))
    assert differs > 1e-4, "the rounding must be seen"


@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_within_its_own_rounding_of_float32(name: str, dtype: torch.dtype) -> None:
    shape = geometry(value_bytes=2)
    keys, values = (part.to(dtype) for part in states(shape, 50))
    half, single = layer(name, SETTINGS, shape, dtype), layer(name, SETTINGS, geometry())
    found, expected = fill(half, keys, values, [30]), fill(single, keys.float(), values.float(), [30])
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(got.float(), wanted, rtol=2 * torch.finfo(dtype).eps, atol=16 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["int4", "kivi-4", "kivi-2"])
def test_constant_channels_give_no_nan(name: str) -> None:
    shape = geometry()
    keys = torch.full((1, 2, 70, 16), 3.0)
    cache = layer(name, SETTINGS, shape)
    for got in fill(cache, keys, torch.zeros_like(keys), [33]):
        assert got.isfinite().all()
    assert torch.equal(cache.append(keys[:, :, :1], keys[:, :, :1])[0], keys.new_full((1, 2, 71, 16), 3.0))


@pytest.mark.parametrize("name", PER_TOKEN)
@settings(max_examples=20)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["append", "forget", "select"]), st.integers(1, 9)), min_size=1, max_size=8), seed=st.integers(0, 100)
)
def test_forgetting_and_selecting_leave_no_trace(name: str, steps: list[tuple[str, int]], seed: int) -> None:
    """A layer that took tokens back, and one that only ever saw those that stayed, hold the same."""
    shape = geometry()
    cache, kept = layer(name, SETTINGS, shape), [torch.empty(1, 2, 0, 16), torch.empty(1, 2, 0, 16)]
    last = 0
    for index, (what, count) in enumerate(steps):
        if what == "append":
            new = states(shape, count, seed + index)
            cache.append(*new)
            kept, last = [torch.cat(pair, dim=2) for pair in zip(kept, new, strict=True)], count
        elif what == "forget":
            count = min(count, cache.seen)
            cache.forget(count)
            kept, last = [part[:, :, : part.shape[2] - count] for part in kept], 0
        elif last:
            slots = torch.tensor([slot for slot in range(last) if (slot * 7 + count) % 3])
            cache.select(slots.long(), last)
            chosen = kept[0].shape[2] - last + slots.long()
            kept, last = [torch.cat((part[:, :, : part.shape[2] - last], part[:, :, chosen]), dim=2) for part in kept], 0
    fresh = layer(name, SETTINGS, shape)
    if kept[0].shape[2]:
        fresh.append(*kept)
    new = states(shape, 1, 999)
    for got, wanted in zip(cache.append(*new), fresh.append(*new), strict=True):
        assert torch.equal(got, wanted)
    assert cache.nbytes == fresh.nbytes


def test_kivi_refuses_to_take_tokens_back() -> None:
    cache = layer("kivi-2", SETTINGS)
    fill(cache, *states(geometry(), 5), [5])
    cache.forget(0)
    with pytest.raises(RequestError, match="blocks of tokens"):
        cache.forget(1)
    assert not cache.is_croppable


@pytest.mark.parametrize("name", QUANTIZED)
def test_after_a_reset_another_batch_may_come(name: str) -> None:
    shape = geometry()
    cache = layer(name, SETTINGS, shape)
    fill(cache, *states(shape, 40), [20])
    cache.reset()
    assert cache.seen == 0
    keys, values = states(shape, 40, seed=5, batch=3)
    again, fresh = fill(cache, keys, values, [20]), fill(layer(name, SETTINGS, shape), keys, values, [20])
    assert torch.equal(again[0], fresh[0])
    assert torch.equal(again[1], fresh[1])


@pytest.mark.parametrize("name", QUANTIZED)
def test_rows_can_be_reordered_for_beam_search(name: str) -> None:
    shape = geometry()
    keys, values = states(shape, 40, batch=3)
    order = torch.tensor([2, 0, 0])
    cache, fresh = layer(name, SETTINGS, shape), layer(name, SETTINGS, shape)
    fill(cache, keys, values, [36])
    cache.reorder_cache(order)  # type: ignore[arg-type]
    fill(fresh, keys[order], values[order], [36])
    new = states(shape, 1, 9, batch=3)
    for got, wanted in zip(cache.append(*new), fresh.append(*new), strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("name", QUANTIZED)
def test_left_padding_is_never_looked_at(name: str) -> None:
    from core.runtime.module import ModuleDecoder
    from core.runtime.prefill import prefill

    model = tiny_llama(num_hidden_layers=1)
    tokens = torch.randint(2, 64, (2, 40), generator=torch.Generator().manual_seed(5))
    real = torch.ones(2, 40, dtype=torch.bool)
    real[0, :16] = False
    both = ModuleDecoder(model, 64, cache_for(model, name, SETTINGS), batch=2)
    alone = ModuleDecoder(model, 64, cache_for(model, name, SETTINGS))
    found = prefill(both, tokens, real)
    torch.testing.assert_close(found[0], prefill(alone, tokens[:1, 16:])[0], rtol=1e-4, atol=1e-4)
    step = both.forward(tokens[:, :1])[:, -1]
    torch.testing.assert_close(step[0], alone.forward(tokens[:1, :1])[0, -1], rtol=1e-4, atol=1e-4)

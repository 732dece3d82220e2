"""Sliding windows and StreamingLLM: against transformers' sliding mask, and against computing the window anew."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import DynamicCache

from core.errors import RequestError
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.storage.ring import within
from core.runtime.module import ModuleDecoder
from core.runtime.opening import open_decoder
from core.runtime.prefill import prefill
from tests.core.kvcache.schemes.making import CONFIG, cache_for, fill, geometry, layer, states, tiny_llama


def tokens_of(count: int, batch: int = 1, seed: int = 2) -> Tensor:
    return torch.randint(2, 64, (batch, count), generator=torch.Generator().manual_seed(seed))


def one_by_one(decoder: ModuleDecoder, tokens: Tensor) -> Tensor:
    return torch.cat([decoder.forward(tokens[:, at : at + 1]) for at in range(tokens.shape[1])], dim=1)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("chunk", [1, 5, 12, 17, 60])
def test_sliding_equals_a_model_with_a_sliding_mask(fused: bool, chunk: int) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    window = 12
    model = tiny_llama()
    masked: Any = MistralForCausalLM(MistralConfig(**CONFIG, sliding_window=window)).eval()
    masked.load_state_dict(model.state_dict())
    tokens = tokens_of(60, batch=2)
    decoder = open_decoder(model, 64, cache=cache_for(model, "sliding", SchemeSettings(budget=window, sinks=0)), batch=2, fused=fused)
    with torch.inference_mode():
        expected = masked(tokens, use_cache=False).logits
    found = torch.cat([decoder.forward(part) for part in tokens.split(chunk, dim=1)], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert decoder.cache.held == window - 1


@pytest.mark.parametrize("cuts", [[1] * 20, [7, 1, 1, 9, 3], [30, 1, 1], [11, 12, 13, 1], [50]])
def test_a_window_holds_the_last_tokens_however_they_came(cuts: list[int]) -> None:
    shape, window = geometry(), 10
    keys, values = states(shape, sum(cuts) + 1)
    cache = layer("sliding", SchemeSettings(budget=window), shape)
    fill(cache, keys[:, :, :-1], values[:, :, :-1], cuts)
    looked_at = cache.append(keys[:, :, -1:], values[:, :, -1:])
    for got, came in zip(looked_at, (keys, values), strict=True):
        expected = came[:, :, -window:]
        assert got.shape[2] == expected.shape[2] == cache.held + 1
        assert torch.equal(_sorted(got), _sorted(expected)), "in the order of the ring"


def _sorted(slots: Tensor) -> Tensor:
    return slots.sort(dim=2).values


@pytest.mark.parametrize("cuts", [[60], [5, 9], [1, 1, 1, 1, 20, 20, 3]])
@pytest.mark.parametrize("sinks", [0, 3])
def test_streaming_gives_each_key_the_rotation_of_its_place(cuts: list[int], sinks: int) -> None:
    """Keys that are all alike before their rotation show by it where they stand."""
    shape, budget = geometry(), 12
    cache = layer("streaming", SchemeSettings(budget=budget, sinks=sinks), shape)
    frequencies = 10000.0 ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim)
    plain = torch.randn(shape.head_dim, generator=torch.Generator().manual_seed(0))
    seen = 0
    for length in [*cuts, *([1] * 15)]:
        places = cache.positions(length)
        assert places is not None
        keys = torch.stack([_rotated(plain, int(place), frequencies) for place in places]).expand(1, shape.kv_heads, -1, -1)
        values = torch.arange(seen, seen + length).float()[:, None].expand(1, shape.kv_heads, -1, shape.head_dim)
        found, numbers = cache.append(keys.clone(), values.clone())
        seen += length
        order = numbers[0, 0, :, 0].long().argsort()
        expected = torch.stack([_rotated(plain, place, frequencies) for place in range(found.shape[2])])
        torch.testing.assert_close(found[0, 1, order], expected, rtol=1e-4, atol=1e-5)
        kept = sorted(numbers[0, 0, :, 0].long().tolist())
        if length == 1 and seen > budget:
            assert kept == [*range(sinks), *range(seen - (budget - sinks), seen)]


def _rotated(key: Tensor, place: int, frequencies: Tensor) -> Tensor:
    half = len(key) // 2
    turned = torch.polar(torch.ones(half), place * frequencies) * torch.complex(key[:half], key[half:])
    return torch.cat((turned.real, turned.imag))


@given(held=st.integers(0, 12), count=st.integers(1, 12), window=st.integers(1, 10), sinks=st.integers(0, 4))
def test_what_several_new_tokens_look_at(held: int, count: int, window: int, sinks: int) -> None:
    mask = within(held, count, window, sinks)
    expected = [[slot <= token and (slot < sinks or token - slot < window) for slot in range(held + count)] for token in range(held, held + count)]
    assert torch.tensor(expected).equal(torch.ones(count, held + count, dtype=torch.bool).tril(held) if mask is None else mask)


@pytest.mark.parametrize("name", ["sliding", "streaming"])
@pytest.mark.parametrize("chunk", [2, 9, 40])
def test_a_prompt_in_chunks_sees_what_single_tokens_see(name: str, chunk: int) -> None:
    """Without rotation (frequencies of almost 0) StreamingLLM too must not notice how its prompt came."""
    model, tokens = tiny_llama(rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 1e9}), tokens_of(40)
    sizes = SchemeSettings(budget=14, sinks=3)
    single, chunks = (open_decoder(model, 64, cache=cache_for(model, name, sizes)) for _ in range(2))
    expected = torch.cat([single.forward(tokens[:, at : at + 1]) for at in range(40)], dim=1)
    found = torch.cat([chunks.forward(part) for part in tokens.split(chunk, dim=1)], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def _streaming_families() -> list[Any]:
    import transformers as t

    def built(name: str, **changes: Any) -> Any:
        config = getattr(t, f"{name}Config")(**{**CONFIG, "num_hidden_layers": 1, **changes})
        torch.manual_seed(1)
        model = getattr(t, f"{name}ForCausalLM")(config).eval()
        model.requires_grad_(False)
        return model

    return [
        pytest.param(lambda: built("Llama"), id="llama"),
        pytest.param(lambda: built("Qwen3"), id="qwen3"),
        pytest.param(lambda: built("Qwen2"), id="qwen2"),
        pytest.param(lambda: built("Olmo2"), id="olmo2"),
        pytest.param(lambda: built("Gemma"), id="gemma"),
        pytest.param(lambda: built("Granite"), id="granite"),
        pytest.param(lambda: built("Phi"), id="phi"),
        pytest.param(lambda: built("StableLm"), id="stablelm"),
        pytest.param(
            lambda: built("GPTNeoX", rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}), id="gpt-neox"
        ),
        pytest.param(lambda: built("Llama", rope_parameters=_YARN), id="yarn"),
    ]


_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize("make", _streaming_families())
def test_streaming_with_one_block_equals_computing_the_window_anew(make: Any) -> None:
    """With one block keys depend on their own tokens alone, so the cache and a fresh forward over sinks and window must agree."""
    model, sinks, budget = make(), 3, 14
    tokens = tokens_of(40)
    decoder = ModuleDecoder(model, 64, cache_for(model, "streaming", SchemeSettings(budget=budget, sinks=sinks)))
    found = one_by_one(decoder, tokens)[0]
    for at in range(40):
        recent = max(sinks, at + 1 - (budget - sinks))
        kept = torch.cat((tokens[:, : min(sinks, at + 1)], tokens[:, recent : at + 1]), dim=1)
        with torch.inference_mode():
            expected = model(kept, use_cache=False).logits[0, -1]
        torch.testing.assert_close(found[at], expected, rtol=1e-3, atol=1e-4)


def test_streaming_goes_on_in_bfloat16_without_drift() -> None:
    """Keys are kept without rotation and turned afresh at each step: an error does not grow with the text."""
    model, budget = tiny_llama(num_hidden_layers=1).bfloat16(), 16
    tokens = tokens_of(250)
    decoder = ModuleDecoder(model, 256, cache_for(model, "streaming", SchemeSettings(budget=budget, sinks=4)))
    found = one_by_one(decoder, tokens)[0].float()
    errors = []
    for at in (20, 240):
        kept = torch.cat((tokens[:, :4], tokens[:, at - 11 : at + 1]), dim=1)
        with torch.inference_mode():
            errors.append(float((model.float()(kept, use_cache=False).logits[0, -1] - found[at]).abs().max()))
    assert errors[1] < 4 * errors[0] + 0.02


@pytest.mark.parametrize("fused", [True, False])
def test_streaming_reads_a_text_longer_than_the_context(fused: bool) -> None:
    """Twice the model's positions; the last token sees what a fresh forward over sinks and window sees."""
    model, sizes = tiny_llama(num_hidden_layers=1, max_position_embeddings=32), SchemeSettings(budget=24, sinks=4)
    tokens = tokens_of(64)
    decoder = open_decoder(model, 80, cache=cache_for(model, "streaming", sizes, 80), fused=fused)
    prefill(decoder, tokens)
    found = decoder.forward(tokens[:, :1])[0, -1]
    kept = torch.cat((tokens[:, :4], tokens[:, -19:], tokens[:, :1]), dim=1)
    with torch.inference_mode():
        torch.testing.assert_close(found, model(kept, use_cache=False).logits[0, -1], rtol=1e-3, atol=1e-4)
    with pytest.raises(RequestError, match="context of 32"):
        cache_for(model, "sliding", sizes, 80)
    with pytest.raises(RequestError, match="more than the model's context"):
        cache_for(model, "streaming", SchemeSettings(budget=40), 80)


@pytest.mark.parametrize("name", ["sliding", "streaming", "h2o", "snapkv"])
@pytest.mark.parametrize("batch", [1, 3])
def test_nothing_changes_while_nothing_is_evicted(name: str, batch: int) -> None:
    model, tokens = tiny_llama(), tokens_of(50, batch)
    ours = ModuleDecoder(model, 64, cache_for(model, name, SchemeSettings(budget=64)), batch=batch)
    full = DynamicCache()
    with torch.inference_mode():
        expected = model(tokens[:, :30], past_key_values=full).logits[:, -1]
        torch.testing.assert_close(prefill(ours, tokens[:, :30], chunk=16), expected, rtol=1e-4, atol=1e-4)
        for at in range(30, 50):
            expected = model(tokens[:, at : at + 1], past_key_values=full).logits
            torch.testing.assert_close(ours.forward(tokens[:, at : at + 1]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sliding", "streaming", "h2o", "snapkv"])
def test_rows_of_different_lengths_and_tokens_taken_back_are_refused(name: str) -> None:
    model = tiny_llama()
    real = torch.ones(2, 20, dtype=torch.bool)
    real[0, :5] = False
    decoder = ModuleDecoder(model, 64, cache_for(model, name, SchemeSettings(budget=40)), batch=2)
    with pytest.raises(RequestError, match="slots stay in place"):
        prefill(decoder, tokens_of(20, 2), real)
    decoder.reset()
    prefill(decoder, tokens_of(20))
    with pytest.raises(RequestError, match=r"rollback|roll back"):
        decoder.cache.forget(1)


def test_rows_of_a_ring_can_be_reordered() -> None:
    shape, sizes, order = geometry(), SchemeSettings(budget=8, sinks=2), torch.tensor([1, 1, 0])
    keys, values = states(shape, 20, batch=3)
    for name in ("sliding", "streaming"):
        cache, fresh = layer(name, sizes, shape), layer(name, sizes, shape)
        fill(cache, keys, values, [6])
        cache.reorder_cache(order)  # type: ignore[arg-type]
        fill(fresh, keys[order], values[order], [6])
        new = states(shape, 1, 3, batch=3)
        for got, wanted in zip(cache.append(*new), fresh.append(*new), strict=True):
            assert torch.equal(got, wanted)

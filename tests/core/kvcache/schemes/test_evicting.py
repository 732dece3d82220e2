"""H2O and SnapKV against references that keep every key, every value and the whole attention matrix, and only mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AttentionInterface, DynamicCache

from core.errors import RequestError
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.storage.attention_mass import attention_mass
from core.kvcache.storage.choosing import heavy_and_recent, snapkv_keep
from core.runtime.module import ModuleDecoder
from core.runtime.prefill import prefill
from tests.core.kvcache.schemes.making import cache_for, fill, geometry, layer, states, tiny_llama


class MaskedReference:
    """All keys of one block stay; `alive` says for each key head which of them a query may look at."""

    def __init__(self, batch: int, kv_heads: int, tokens: int) -> None:
        self.alive = torch.ones(batch, kv_heads, tokens, dtype=torch.bool)
        self.matrix = torch.zeros(batch, kv_heads, tokens, tokens)
        """Attention of each query (third dimension) to each key, as the mean of the query heads."""

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
        """[B, heads, n, d] over all keys, one query and head at a time."""
        batch, heads, count, width = query.shape
        groups = heads // keys.shape[1]
        out = torch.zeros(batch, heads, count, width)
        first = keys.shape[2] - count
        for row in range(batch):
            for head in range(heads):
                kv = head // groups
                for index in range(count):
                    at = first + index
                    weights = torch.full((at + 1,), -torch.inf)
                    seen = self.alive[row, kv, : at + 1].clone()
                    seen[at] = True
                    weights[seen] = (keys[row, kv, : at + 1][seen] @ query[row, head, index]) * scaling
                    weights = weights.softmax(0)
                    out[row, head, index] = weights @ values[row, kv, : at + 1]
                    self.matrix[row, kv, at, : at + 1] += weights / groups
        return out

    def evict_h2o(self, tokens: int, budget: int) -> None:
        """After `tokens`: keep the newest, and of the living ones before those with the largest column sums."""
        heavy = budget // 2
        for row in range(self.alive.shape[0]):
            for kv in range(self.alive.shape[1]):
                living = [slot for slot in range(tokens) if self.alive[row, kv, slot]]
                if len(living) <= budget:
                    continue
                older, recent = living[: len(living) - (budget - heavy)], living[len(living) - (budget - heavy) :]
                mass = self.matrix[row, kv].sum(0)
                best = sorted(older, key=lambda slot: float(mass[slot]), reverse=True)[:heavy]
                self.alive[row, kv, :tokens] = False
                self.alive[row, kv, [*best, *recent]] = True

    def evict_snapkv(self, tokens: int, budget: int, observed: int, pooling: int) -> None:
        """Keep the window, and of the slots before it those whose neighbourhood got most of the window's attention."""
        half = pooling // 2
        for row in range(self.alive.shape[0]):
            for kv in range(self.alive.shape[1]):
                votes = self.matrix[row, kv, tokens - observed : tokens].sum(0)[: tokens - observed]
                pooled = [float(votes[max(at - half, 0) : at + half + 1].max()) for at in range(len(votes))]
                best = sorted(range(len(pooled)), key=lambda slot: pooled[slot], reverse=True)[: budget - observed]
                self.alive[row, kv, :tokens] = False
                self.alive[row, kv, best] = True
                self.alive[row, kv, tokens - observed : tokens] = True


def random_queries(tokens: int, batch: int = 1, heads: int = 4, width: int = 16, seed: int = 7) -> Tensor:
    return torch.randn((batch, heads, tokens, width), generator=torch.Generator().manual_seed(seed)) * 2


@pytest.mark.parametrize("cuts", [[1] * 40, [25], [9, 9, 9, 9], [3, 30]])
@pytest.mark.parametrize("budget", [2, 7, 16])
def test_h2o_keeps_what_the_whole_matrix_says(cuts: list[int], budget: int) -> None:
    shape, tokens = geometry(), 40
    keys, values = states(shape, tokens, batch=2)
    queries = random_queries(tokens, 2)
    cache, reference = layer("h2o", SchemeSettings(budget=budget, sinks=0), shape), MaskedReference(2, 2, tokens)
    first = 0
    for length in [*cuts, *([1] * (tokens - sum(cuts)))]:
        last = first + length
        found = cache.append(keys[:, :, first:last], values[:, :, first:last])
        held = [part.clone() for part in found]
        for row in range(2):
            for kv in range(2):
                kept = reference.alive[row, kv, :last].nonzero().squeeze(1)
                assert torch.equal(held[0][row, kv], keys[row, kv, kept]), "in the order of the text"
                assert torch.equal(held[1][row, kv], values[row, kv, kept])
        cache.observe(queries[:, :, first:last], found[0], 0.25)
        reference.attend(queries[:, :, first:last], keys[:, :, :last], values[:, :, :last], 0.25)
        reference.evict_h2o(last, budget)
        assert cache.held == min(last, budget)
        first = last


@pytest.mark.parametrize("cuts", [[40], [17, 22, 1], [39, 1], [1] * 40])
@pytest.mark.parametrize(("budget", "observed", "pooling"), [(12, 5, 1), (20, 8, 7), (9, 8, 3)])
def test_snapkv_keeps_what_the_window_votes_for(cuts: list[int], budget: int, observed: int, pooling: int) -> None:
    shape, tokens = geometry(), 40
    keys, values = states(shape, tokens, batch=2)
    queries = random_queries(tokens, 2)
    sizes = SchemeSettings(budget=budget, observed=observed, pooling=pooling)
    cache, reference = layer("snapkv", sizes, shape), MaskedReference(2, 2, tokens)
    first = 0
    for length in cuts:
        found = cache.append(keys[:, :, first : first + length], values[:, :, first : first + length])
        cache.observe(queries[:, :, first : first + length], found[0], 0.25)
        first += length
    cache.prefilled()
    assert not cache.observes
    reference.attend(queries, keys, values, 0.25)
    new = states(shape, 1, 5, batch=2)
    held = cache.append(*new)
    masses = _pooled_masses(reference, tokens, observed, pooling)
    reference.evict_snapkv(tokens, budget, observed, pooling)
    for row in range(2):
        for kv in range(2):
            kept = [_slot_of(key, keys[row, kv]) for key in held[0][row, kv, :-1]]
            assert kept == sorted(kept)
            assert kept[-observed:] == list(range(tokens - observed, tokens))
            expected = reference.alive[row, kv].nonzero().squeeze(1).tolist()
            # neighbours of a peak share its pooled vote, and which of them is left out is open
            assert [masses[row][kv][slot] for slot in sorted(kept[:-observed], key=lambda slot: -masses[row][kv][slot])] == pytest.approx(
                [masses[row][kv][slot] for slot in sorted(expected[:-observed], key=lambda slot: -masses[row][kv][slot])], rel=1e-4
            )
            assert torch.equal(held[1][row, kv, :-1], values[row, kv, kept])
    assert torch.equal(held[0][:, :, -1:], new[0])


def _slot_of(key: Tensor, keys: Tensor) -> int:
    return int((keys == key).all(1).nonzero())


def _pooled_masses(reference: MaskedReference, tokens: int, observed: int, pooling: int) -> list[list[list[float]]]:
    votes = reference.matrix[:, :, tokens - observed : tokens].sum(2)[..., : tokens - observed]
    half = pooling // 2
    return [[[float(head[max(at - half, 0) : at + half + 1].max()) for at in range(len(head))] for head in row] for row in votes]


@pytest.mark.parametrize("name", ["h2o", "snapkv"])
def test_a_model_says_the_same_as_one_whose_attention_masks_what_was_evicted(name: str) -> None:
    """Two blocks, grouped heads, a batch: the evicting cache beside a full one with masks, token for token."""
    sizes = SchemeSettings(budget=14, observed=5, pooling=1, sinks=0)  # pooled votes of neighbours would tie
    model, prompt, total = tiny_llama(), 24, 40
    tokens = torch.randint(2, 64, (2, total), generator=torch.Generator().manual_seed(4))
    decoder = ModuleDecoder(model, 64, cache_for(model, name, sizes), batch=2)
    references = [MaskedReference(2, 2, total) for _ in range(2)]

    def attention(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any) -> tuple[Tensor, None]:
        reference = references[module.layer_idx]
        mixed = reference.attend(query, key, value, kwargs["scaling"])
        if name == "h2o":
            reference.evict_h2o(key.shape[2], sizes.budget)
        elif key.shape[2] == prompt:
            reference.evict_snapkv(prompt, sizes.budget, sizes.observed, sizes.pooling)
        return mixed.transpose(1, 2), None

    AttentionInterface.register("masked_reference", attention)
    masked = tiny_llama()
    masked.set_attn_implementation("masked_reference")
    full = DynamicCache()
    with torch.inference_mode():
        expected = masked(tokens[:, :prompt], past_key_values=full).logits[:, -1]
        torch.testing.assert_close(prefill(decoder, tokens[:, :prompt]), expected, rtol=1e-4, atol=1e-4)
        for at in range(prompt, total):
            expected = masked(tokens[:, at : at + 1], past_key_values=full).logits
            torch.testing.assert_close(decoder.forward(tokens[:, at : at + 1]), expected, rtol=1e-3, atol=1e-3)


@given(st.integers(1, 3), st.sampled_from([(1, 1), (4, 2), (6, 1)]), st.integers(1, 6), st.integers(0, 9), st.integers(0, 99))
def test_attention_mass_is_what_each_key_receives(batch: int, heads: tuple[int, int], count: int, before: int, seed: int) -> None:
    shape = geometry(head_dim=8, kv_heads=heads[1])
    keys, values = states(shape, before + count, seed, batch)
    query = random_queries(count, batch, heads[0], 8, seed)
    reference = MaskedReference(batch, heads[1], before + count)
    reference.attend(query, keys, values, 0.3)
    mass = attention_mass(query, keys, 0.3)
    torch.testing.assert_close(mass, reference.matrix.sum(2), rtol=1e-4, atol=1e-5)
    assert float(mass.sum()) == pytest.approx(batch * heads[1] * count, rel=1e-4)


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 10_000))
def test_choices_are_ascending_and_as_many_as_the_budget(extra: int, budget: int, seed: int) -> None:
    scores = torch.rand(2, 3, budget + extra, generator=torch.Generator().manual_seed(seed))
    choices = [heavy_and_recent(scores, budget)]
    if budget > 1:
        choices.append(snapkv_keep(scores, budget, budget // 2, 5) if budget // 2 else choices[0])
    for kept in choices:
        assert kept.shape == (2, 3, budget)
        assert bool((kept.diff(dim=-1) > 0).all())
        assert int(kept[..., -1].min()) == budget + extra - 1, "the newest token stays"


def test_one_too_many_is_chosen_as_many_too_many_are() -> None:
    """The step of decoding has a shorter way to the same choice."""
    scores = torch.rand(2, 2, 11, generator=torch.Generator().manual_seed(0))
    kept = heavy_and_recent(scores, 10)
    for head, chosen in zip(scores.flatten(0, 1), kept.flatten(0, 1), strict=True):
        assert chosen.tolist() == sorted([*head[:6].topk(5).indices.tolist(), 6, 7, 8, 9, 10])


def test_snapkv_takes_back_what_came_after_the_prompt_and_no_more() -> None:
    sizes = SchemeSettings(budget=12, observed=4)
    keys, values = states(geometry(), 30)
    cache, fresh = layer("snapkv", sizes), layer("snapkv", sizes)
    fill(cache, keys, values, [20], prompt=20)
    fill(fresh, keys[:, :, :23], values[:, :, :23], [20], prompt=20)
    cache.forget(7)
    new = states(geometry(), 1, 3)
    for got, wanted in zip(cache.append(*new), fresh.append(*new), strict=True):
        assert torch.equal(got, wanted)
    cache.append(*states(geometry(), 4, 8))
    cache.select(torch.tensor([1, 3]), 4)
    assert (cache.seen, cache.held) == (26, 18)
    with pytest.raises(RequestError, match="only 6 came after the prompt"):
        cache.forget(7)


def test_rows_and_their_scores_can_be_reordered() -> None:
    sizes, order = SchemeSettings(budget=8, sinks=2), torch.tensor([2, 2, 1])
    keys, values = states(geometry(), 20, batch=3)
    queries = random_queries(21, 3)
    caches = [layer("h2o", sizes), layer("h2o", sizes)]
    for at in range(21):
        for index, cache in enumerate(caches):
            picked = order if index or at == 20 else torch.arange(3)
            token = min(at, 19)
            found = cache.append(keys[picked][:, :, token : token + 1], values[picked][:, :, token : token + 1])
            cache.observe(queries[picked][:, :, at : at + 1], found[0], 0.25)
        if at == 19:
            caches[0].reorder_cache(order)  # type: ignore[arg-type]
    last = states(geometry(), 1, 2, batch=3)
    for got, wanted in zip(caches[0].append(*last), caches[1].append(*last), strict=True):
        assert torch.equal(got, wanted)

"""Static and dynamic caches, rows with holes, trees: against forwards over the whole text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from core.errors import RequestError
from core.runtime.cache import KvCache, KvLayer
from core.runtime.caches.dynamic import DynamicKvLayer
from core.runtime.caches.static import StaticKvLayer
from core.runtime.decoder import Tree
from core.runtime.module import ModuleDecoder
from core.runtime.prefill import prefill
from tests.conftest import TINY_LLAMA


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**TINY_LLAMA)).eval().requires_grad_(False)


def tokens(count: int, batch: int = 1, seed: int = 1) -> Tensor:
    return torch.randint(2, 320, (batch, count), generator=torch.Generator().manual_seed(seed))


def cache_of(kind: str) -> KvCache:
    return KvCache([StaticKvLayer(64) if kind == "static" else DynamicKvLayer() for _ in range(2)])


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_a_cache_plugs_into_transformers(model: Any, kind: str) -> None:
    text, cache = tokens(20), cache_of(kind)
    parts = [model(text[:, part], past_key_values=cache).logits for part in (slice(0, 9), slice(9, 10), slice(10, 20))]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(text).logits, atol=1e-5, rtol=1e-4)
    assert cache.seen == cache.held == 20


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_transformers_generate_takes_the_cache(model: Any, kind: str) -> None:
    prompt = tokens(7)
    options = {"max_new_tokens": 20, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    assert torch.equal(model.generate(prompt, past_key_values=cache_of(kind), **options), model.generate(prompt, **options))


def test_bytes_are_those_of_the_tensors() -> None:
    layer, grown = StaticKvLayer(50), DynamicKvLayer()
    keys = torch.randn(2, 3, 7, 8, dtype=torch.bfloat16)
    for each in (layer, grown):
        each.append(keys, keys)
    assert layer.nbytes == 2 * 2 * 3 * 50 * 8 * 2
    assert grown.nbytes == 2 * keys.nbytes
    assert grown.reserved >= grown.nbytes


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_the_dynamic_cache_holds_what_was_appended(counts: list[int]) -> None:
    layer, whole = DynamicKvLayer(), torch.randn(1, 1, sum(counts), 2)
    first = 0
    for count in counts:
        part = whole[:, :, first : first + count]
        keys, values = layer.append(part, -part)
        first += count
        assert torch.equal(keys, whole[:, :, :first])
        assert torch.equal(values, -whole[:, :, :first])


def test_a_step_of_the_dynamic_cache_copies_seldom() -> None:
    layer, places = DynamicKvLayer(), set()
    for _ in range(600):
        layer.append(torch.randn(1, 1, 1, 4), torch.randn(1, 1, 1, 4))
        assert layer.keys is not None
        places.add(layer.keys.data_ptr())
    assert len(places) <= 3


def test_tokens_that_were_taken_back_leave_no_trace(model: Any) -> None:
    text = tokens(12)
    decoder = ModuleDecoder(model, 64)
    prefill(decoder, text[:, :8])
    decoder.forward(tokens(5, seed=9))
    decoder.keep([0], 5)
    torch.testing.assert_close(decoder.forward(text[:, 8:]), model(text).logits[:, 8:], atol=1e-5, rtol=1e-4)


def test_rows_may_keep_different_counts(model: Any) -> None:
    """After each round a row's text is its prompt and what it kept; its predictions are those of that text alone."""
    decoder = ModuleDecoder(model, 64, batch=3)
    texts = [row.tolist() for row in tokens(6, batch=3)]
    prefill(decoder, torch.tensor(texts))
    for seed, counts in enumerate([(1, 4, 0), (3, 0, 2), (4, 4, 4), (0, 1, 1)]):
        new = tokens(4, batch=3, seed=seed + 20)
        logits = decoder.forward(new)
        for row, text in enumerate(texts):
            alone = model(torch.tensor([text + new[row].tolist()])).logits[0, -4:]
            torch.testing.assert_close(logits[row], alone, atol=1e-5, rtol=1e-4)
        decoder.keep(counts, 4)
        texts = [text + new[row, :count].tolist() for row, (text, count) in enumerate(zip(texts, counts, strict=True))]
    assert decoder.length == 6 + 4 + 3 + 4 + 1


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=7))
def test_a_tree_knows_its_paths(raw: list[int]) -> None:
    parents = [min(parent, node - 1) for node, parent in enumerate(raw)]
    tree = Tree.of(parents)
    for node, parent in enumerate(parents):
        path, at = {node}, parent
        while at >= 0:
            path.add(at)
            at = parents[at]
        assert set(tree.ancestors[node].nonzero()[:, 0].tolist()) == path
        assert int(tree.depths[node]) == len(path) - 1


def test_the_nodes_of_a_tree_are_predicted_as_their_paths(model: Any) -> None:
    prompt, nodes = tokens(6), tokens(6, seed=4)
    parents = [-1, 0, 0, 1, 2, -1]
    paths = [[0], [0, 1], [0, 2], [0, 1, 3], [0, 2, 4], [5]]
    decoder = ModuleDecoder(model, 64)
    prefill(decoder, prompt)
    logits = decoder.forward(nodes, tree=Tree.of(parents))
    for node, path in enumerate(paths):
        alone = model(torch.cat((prompt, nodes[:, path]), dim=1)).logits[0, -1]
        torch.testing.assert_close(logits[0, node], alone, atol=1e-5, rtol=1e-4)
    decoder.select(torch.tensor([0, 2, 4]))
    after = tokens(2, seed=8)
    whole = torch.cat((prompt, nodes[:, [0, 2, 4]], after), dim=1)
    torch.testing.assert_close(decoder.forward(after), model(whole).logits[:, -2:], atol=1e-5, rtol=1e-4)


def test_the_hidden_states_are_what_the_head_reads(model: Any) -> None:
    decoder = ModuleDecoder(model, 64)
    logits = decoder.forward(tokens(5))
    torch.testing.assert_close(model.lm_head(decoder.hidden), logits)
    decoder.forward(tokens(3), last=True)
    assert decoder.hidden.shape == (1, 1, 64)


class Fixed(KvLayer):
    """Holds nothing and can do nothing."""

    held, nbytes = 0, 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += keys.shape[2]
        return keys, values

    def reset(self) -> None:
        self.seen = 0


def test_a_scheme_that_cannot_says_so(model: Any) -> None:
    decoder = ModuleDecoder(model, 64, KvCache([Fixed(), Fixed()]), batch=2)
    decoder.forward(tokens(4, batch=2))
    with pytest.raises(RequestError, match="slots stay in place"):
        decoder.keep([1, 2], 4)
    with pytest.raises(RequestError, match="slots stay in place"):
        decoder.forward(tokens(2, batch=2), real=torch.tensor([[True, True], [False, True]]))
    with pytest.raises(RequestError, match="Fixed does not support rollback"):
        decoder.keep([1, 1], 4)
    with pytest.raises(RequestError, match="one sequence at a time"):
        decoder.forward(tokens(2, batch=2), tree=Tree.of([-1, 0]))


def test_a_full_cache_is_refused(model: Any) -> None:
    decoder = ModuleDecoder(model, 10)
    decoder.forward(tokens(9))
    with pytest.raises(RequestError, match="10 tokens and 11 are needed"):
        decoder.forward(tokens(2))
    with pytest.raises(RequestError, match="context of 128"):
        ModuleDecoder(model, 129)

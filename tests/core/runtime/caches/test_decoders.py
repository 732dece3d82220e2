"""Both decoders against transformers, on every family: tokens, padding, roll-back, holes, trees, chunks."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from core.errors import RequestError
from core.runtime.cache import KvCache
from core.runtime.caches.dynamic import DynamicKvLayer
from core.runtime.decoder import Decoder, Tree
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from core.runtime.prefill import prefill
from tests.core.runtime.tiny import FUSED, MANY, OTHERS, VOCABULARY, by_transformers, config_of, model_of, padded, prompts

KINDS = [(name, True) for name in FUSED] + [(name, False) for name in OTHERS]
ATTENDING = [("llama", True), ("gemma3", True), ("phi3, window", True), ("llama", False), ("gemma3", False), ("mistral, window", False)]
over_all = pytest.mark.parametrize(("name", "fused"), KINDS)
over_some = pytest.mark.parametrize(("name", "fused"), ATTENDING)


@cache
def model(name: str) -> Any:
    return model_of(config_of(name))


def decoder_of(name: str, fused: bool, batch: int = 1, cache: KvCache | None = None) -> Decoder:
    return open_decoder(model(name), 64, cache=cache, batch=batch, fused=fused)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)


@over_all
def test_greedy_text_is_that_of_transformers(name: str, fused: bool) -> None:
    prompt = prompts(19)
    expected = by_transformers(model(name), prompt, 30)
    assert len(set(expected[0])) > 5
    decoder = decoder_of(name, fused)
    assert generate(decoder, prompt, max_new_tokens=30).tokens == expected
    assert generate(decoder, prompt, max_new_tokens=30).tokens == expected
    assert by_transformers(model(name), prompt, 30) == expected


@over_all
def test_a_padded_batch_is_that_of_transformers(name: str, fused: bool) -> None:
    tokens, real = padded([13, 4, 9])
    expected = by_transformers(model(name), tokens, 16, real)
    assert generate(decoder_of(name, fused, 3), tokens, real=real, max_new_tokens=16).tokens == expected


@over_all
def test_logits_are_those_of_one_forward(name: str, fused: bool) -> None:
    tokens = prompts(21)
    with torch.no_grad():
        expected = model(name)(tokens).logits
    decoder = decoder_of(name, fused)
    close(decoder.forward(tokens[:, :11]), expected[:, :11])
    close(decoder.forward(tokens[:, 11:16]), expected[:, 11:16])
    for position in range(16, 21):
        close(decoder.forward(tokens[:, position : position + 1], last=True), expected[:, position : position + 1])


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_many_more_families_go_by_their_own_modules(name: str) -> None:
    prompt = prompts(19)
    expected = by_transformers(model(name), prompt, 20)
    assert len(set(expected[0])) > 5
    assert generate(decoder_of(name, False), prompt, max_new_tokens=20).tokens == expected
    tokens, real = padded([13, 4, 9])
    expected = by_transformers(model(name), tokens, 12, real)
    assert generate(decoder_of(name, False, 3), tokens, real=real, max_new_tokens=12).tokens == expected


def test_blocks_whose_past_is_no_cache_are_refused() -> None:
    mamba = model_of(transformers.MambaConfig(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2))
    with pytest.raises(RequestError, match="linear_attention, which have no KV cache"):
        open_decoder(mamba, 24)


@over_some
def test_a_prompt_in_chunks_is_the_whole_prompt(name: str, fused: bool) -> None:
    tokens, real = padded([40, 27], seed=3)
    decoder = decoder_of(name, fused, 2)
    whole = prefill(decoder, tokens, real)
    for chunk in (1, 7, 18):
        decoder.reset(2)
        close(prefill(decoder, tokens, real, chunk=chunk), whole)


@over_some
def test_what_was_drafted_and_taken_back_leaves_no_trace(name: str, fused: bool) -> None:
    prompt, draft, tail = prompts(12), prompts(5, seed=8), prompts(14, seed=9)
    for cache_of in (lambda: None, lambda: KvCache([DynamicKvLayer() for _ in range(3)])):
        plain, drafted = decoder_of(name, fused, cache=cache_of()), decoder_of(name, fused, cache=cache_of())
        plain.forward(prompt)
        drafted.forward(prompt)
        plain.forward(draft[:, :2])
        drafted.forward(draft)
        drafted.keep([2], 5)
        assert drafted.length == plain.length == 14
        close(drafted.forward(tail), plain.forward(tail))
        close(drafted.forward(tail[:, :1]), plain.forward(tail[:, :1]))


@over_some
def test_rows_with_holes_are_predicted_as_alone(name: str, fused: bool) -> None:
    tokens, real = padded([12, 5, 9])
    decoder = decoder_of(name, fused, 3)
    prefill(decoder, tokens, real)
    texts = [row[row_real].tolist() for row, row_real in zip(tokens, real, strict=True)]
    for round_, counts in enumerate([[4, 1, 2], [3, 4, 1], [2, 2, 2], [1, 4, 4]]):
        draft = prompts(4, 3, seed=20 + round_)
        decoder.forward(draft)
        decoder.keep(counts, 4)
        for text, row, count in zip(texts, draft.tolist(), counts, strict=True):
            text += row[:count]
    last = prompts(1, 3, seed=40)
    found = decoder.forward(last)
    for row, text in enumerate(texts):
        with torch.no_grad():
            expected = model(name)(torch.tensor([[*text, int(last[row])]])).logits[0, -1]
        close(found[row, -1], expected)


@over_some
def test_the_nodes_of_a_tree_are_predicted_as_their_paths(name: str, fused: bool) -> None:
    prompt, nodes = prompts(13), prompts(7, seed=30)
    parents = [-1, 0, 0, 1, 1, 3, 2]
    tree = Tree.of(parents)
    decoder = decoder_of(name, fused)
    decoder.forward(prompt)
    found = decoder.forward(nodes, tree=tree)
    for node in range(7):
        path = tree.ancestors[node].nonzero()[:, 0]
        with torch.no_grad():
            close(found[0, node], model(name)(torch.cat((prompt, nodes[:, path]), dim=1)).logits[0, -1])
    kept = torch.tensor([0, 1, 3, 5])
    decoder.select(kept)
    assert decoder.length == 17
    tail = prompts(3, seed=31)
    with torch.no_grad():
        whole = model(name)(torch.cat((prompt, nodes[:, kept], tail), dim=1)).logits
    close(decoder.forward(tail), whole[:, -3:])


@over_some
def test_the_hidden_states_are_what_the_head_reads(name: str, fused: bool) -> None:
    decoder = decoder_of(name, fused, 2)
    tokens = prompts(6, 2)
    logits = decoder.forward(tokens)
    assert decoder.hidden.shape[:2] == (2, 6)
    assert torch.equal(model(name).get_output_embeddings()(decoder.hidden).argmax(-1), logits.argmax(-1))
    logits = decoder.forward(tokens, last=True)
    assert decoder.hidden.shape[:2] == (2, 1)
    assert torch.equal(model(name).get_output_embeddings()(decoder.hidden).argmax(-1), logits.argmax(-1))

"""Pages in whole models: every family, padding, drafts taken back, transformers' own loop and its beams."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.storage.build import build_cache
from core.runtime.cache import KvCache
from core.runtime.decoder import Tree
from core.runtime.generate import generate
from core.runtime.opening import open_decoder
from tests.core.runtime.tiny import FUSED, OTHERS, by_transformers, config_of, model_of, padded, prompts

FAMILIES = [*FUSED, *OTHERS]
SETTINGS = SchemeSettings(block=5)


@cache
def model(name: str) -> Any:
    return model_of(config_of(name))


def pages(name: str, batch: int = 1, scheme: str = "paged") -> KvCache:
    return build_cache(model(name), scheme, SETTINGS, 64, batch)


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_are_those_of_transformers(name: str) -> None:
    prompt = prompts(19)
    assert generate(model(name), prompt, cache=pages(name), max_new_tokens=20).tokens == by_transformers(model(name), prompt, 20)


@pytest.mark.parametrize("fused", [True, False])
def test_a_padded_batch_is_that_of_transformers(fused: bool) -> None:
    tokens, real = padded([13, 4, 9])
    decoder = open_decoder(model("llama"), 64, cache=pages("llama", 3), batch=3, fused=fused)
    assert generate(decoder, tokens, real=real, max_new_tokens=16).tokens == by_transformers(model("llama"), tokens, 16, real)


@pytest.mark.parametrize("fused", [True, False])
def test_logits_are_bit_for_bit_those_of_the_static_cache(fused: bool) -> None:
    found = []
    for scheme in ("static", "paged"):
        decoder = open_decoder(model("llama"), 64, cache=pages("llama", 2, scheme), batch=2, fused=fused)
        tokens = prompts(30, 2)
        parts = [decoder.forward(tokens[:, :17]), decoder.forward(tokens[:, 17:23])]
        decoder.keep([3, 3], 6)
        parts += [decoder.forward(tokens[:, index : index + 1]) for index in range(20, 30)]
        found.append(torch.cat(parts, dim=1))
    assert torch.equal(found[0], found[1])


def test_a_branch_of_a_tree_is_kept() -> None:
    found = []
    for scheme in ("static", "paged"):
        decoder = open_decoder(model("llama"), 64, cache=pages("llama", scheme=scheme))
        tokens = prompts(20)
        decoder.forward(tokens)
        decoder.forward(tokens[:, :6], tree=Tree.of([-1, 0, 0, 1, 2, 4]))
        decoder.select(torch.tensor([0, 2, 4]))
        found.append(decoder.forward(tokens[:, 6:9]))
    assert torch.equal(found[0], found[1])


def test_transformers_own_loop_and_its_beams_take_the_pages() -> None:
    prompt, llama = prompts(11, 2), model("llama")
    common = {"max_new_tokens": 12, "min_new_tokens": 12, "do_sample": False, "attention_mask": torch.ones_like(prompt)}
    for beams in (1, 3):
        cache = pages("llama", 2 * beams)
        found = llama.generate(prompt, past_key_values=cache, num_beams=beams, **common)
        assert torch.equal(found, llama.generate(prompt, num_beams=beams, **common))
        pool = cache.layers[0].pages.pool  # type: ignore[attr-defined]
        pool.check()
        assert (pool.copies > 0) == (beams > 1), "beams share their blocks until they write"

"""The paged cache of one batch against the contiguous one: the same bits, wherever the blocks lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.errors import RequestError
from core.kvcache.catalog import sizes
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.schemes.paged import PagedLayer
from core.kvcache.storage.build import LayerContext
from core.models.kv_geometry import Geometry
from core.paging.slots import Scratch
from core.runtime.cache import KvCache, KvLayer
from core.runtime.caches.static import StaticKvLayer

LAYERS, HEADS, KV_HEADS, WIDTH = 3, 4, 2, 8
MAX = 64


def paged(block: int, batch: int, max_tokens: int = MAX) -> KvCache:
    geometry = Geometry(LAYERS, 0, None, HEADS, KV_HEADS, WIDTH, 4)
    scratch, chosen = Scratch(), SchemeSettings(block=block)
    device = torch.device("cpu")
    return KvCache(
        [
            PagedLayer(LayerContext(index, geometry, chosen, max_tokens, batch, None, device, torch.float32, scratch=scratch))
            for index in range(LAYERS)
        ]
    )


def contiguous() -> KvCache:
    return KvCache([StaticKvLayer(MAX) for _ in range(LAYERS)])


def states(batch: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randn(2, batch, KV_HEADS, count, WIDTH, generator=generator)


def both(first: KvCache, second: KvCache, change: Callable[[KvLayer], object]) -> None:
    for cache in (first, second):
        for layer in cache.layers:
            change(layer)


@given(
    block=st.integers(1, 17),
    batch=st.integers(1, 3),
    operations=st.lists(st.tuples(st.sampled_from(["append", "append", "forget", "select", "reset", "reorder"]), st.integers(0, 2**31)), max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_every_operation_leaves_what_the_contiguous_cache_has(block: int, batch: int, operations: list[tuple[str, int]]) -> None:
    generator = torch.Generator().manual_seed(block)
    pages, plain = paged(block, batch), contiguous()
    last = 0
    for name, draw in operations:
        if name == "append" and plain.seen < MAX:
            last = 1 + draw % min(20, MAX - plain.seen)
            for index in range(LAYERS):
                keys, values = states(batch, last, generator)
                found, expected = pages.layers[index].append(keys, values), plain.layers[index].append(keys, values)
                assert torch.equal(found[0], expected[0])
                assert torch.equal(found[1], expected[1])
        elif name == "forget":
            last = 0
            count = draw % (plain.seen + 1)
            both(pages, plain, lambda layer, count=count: layer.forget(count))  # type: ignore[misc]
        elif name == "select" and last and plain.seen >= last:
            slots = torch.arange(last)[torch.randperm(last, generator=generator)[: draw % last + 1].sort().values]
            both(pages, plain, lambda layer, slots=slots, last=last: layer.select(slots, last))  # type: ignore[misc]
            last = 0
        elif name == "reset":
            last = 0
            both(pages, plain, lambda layer: layer.reset())
        elif name == "reorder" and plain.seen:
            rows = torch.randint(0, batch, (batch,), generator=generator)
            both(pages, plain, lambda layer, rows=rows: layer.reorder_cache(rows))  # type: ignore[misc]
        pages.layers[0].pages.pool.check()  # type: ignore[attr-defined]
        assert pages.seen == plain.seen
        assert pages.held == plain.held


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, MAX))
@settings(max_examples=30, deadline=None)
def test_bytes_held_are_those_of_the_formula(block: int, batch: int, tokens: int) -> None:
    cache = paged(block, batch)
    generator = torch.Generator().manual_seed(0)
    for layer in cache.layers:
        layer.append(*states(batch, tokens, generator))
    geometry = Geometry(LAYERS, 0, None, HEADS, KV_HEADS, WIDTH, 4)
    assert cache.nbytes == sizes.paged(geometry, SchemeSettings(block=block), tokens, batch)


def test_beams_share_their_blocks_until_they_write() -> None:
    cache = paged(4, 2)
    generator = torch.Generator().manual_seed(0)
    for layer in cache.layers:
        layer.append(*states(2, 10, generator))
    pool = cache.layers[0].pages.pool  # type: ignore[attr-defined]
    assert pool.used_blocks == 6
    for layer in cache.layers:
        layer.reorder_cache(torch.tensor([0, 0]))  # type: ignore[arg-type]
    assert pool.used_blocks == 3
    for layer in cache.layers:
        layer.append(*states(2, 1, generator))
    assert pool.used_blocks == 4, "two full blocks stay shared, the third was copied for one of the two"
    assert pool.copies == 1


def test_a_layer_may_run_ahead_of_the_others_and_come_back() -> None:
    generator = torch.Generator().manual_seed(0)
    cache, plain = paged(4, 1), contiguous()
    new = states(1, 7, generator)
    both(cache, plain, lambda layer: layer.append(*new))
    draft = states(1, 3, generator)
    cache.layers[0].append(*draft)
    cache.layers[0].forget(3)
    for index in range(LAYERS):
        fresh = states(1, 4, generator)
        assert torch.equal(cache.layers[index].append(*fresh)[0], plain.layers[index].append(*fresh)[0])
    cache.layers[0].pages.pool.check()  # type: ignore[attr-defined]


def test_another_batch_after_a_reset() -> None:
    generator = torch.Generator().manual_seed(0)
    cache = paged(4, 1)
    for batch in (1, 3, 2):
        for layer in cache.layers:
            new = states(batch, 9, generator)
            assert torch.equal(layer.append(*new)[0], new[0])
        for layer in cache.layers:
            layer.reset()
    cache.layers[0].pages.pool.check()  # type: ignore[attr-defined]


def test_more_tokens_than_asked_for_are_refused_before_anything_is_written() -> None:
    cache = paged(4, 1, max_tokens=6)
    generator = torch.Generator().manual_seed(0)
    cache.layers[0].append(*states(1, 6, generator))
    with pytest.raises(RequestError, match="holds 6 tokens and 7 are needed"):
        cache.layers[0].append(*states(1, 1, generator))
    assert cache.layers[0].seen == 6
    cache.layers[0].pages.pool.check()  # type: ignore[attr-defined]

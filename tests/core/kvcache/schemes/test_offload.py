"""Offload against the contiguous cache, with the CPU in the GPU's place."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import RequestError
from core.kvcache.catalog import sizes
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.schemes.offload import OffloadLayer
from core.kvcache.storage.build import LayerContext
from core.models.kv_geometry import Geometry
from core.runtime.caches.static import StaticKvLayer

CPU = torch.device("cpu")
GEOMETRY = Geometry(1, 0, None, 4, 2, 8, 4)


def context(residual: int, max_tokens: int = 96) -> LayerContext:
    return LayerContext(0, GEOMETRY, SchemeSettings(residual=residual), max_tokens, 2, None, CPU, torch.float32)


@given(residual=st.integers(1, 9), steps=st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=14))
@settings(max_examples=60, deadline=None)
def test_the_history_is_put_together_bit_by_bit(residual: int, steps: list[tuple[bool, int]]) -> None:
    generator = torch.Generator().manual_seed(residual)
    layer, plain = OffloadLayer(context(residual), CPU), StaticKvLayer(96)
    for forget, count in steps:
        if forget:
            layer.forget(min(count, layer.seen))
            plain.forget(min(count, plain.seen))
        elif plain.seen + count <= 96:
            new = torch.randn(2, 2, 2, count, 8, generator=generator)
            found, expected = layer.append(*new), plain.append(*new)
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])
        assert layer.seen - layer.hosted <= 2 * residual
        assert layer.nbytes == sizes.offload(GEOMETRY, SchemeSettings(residual=residual), layer.seen, 2) or not layer.reserved
        assert layer.device_bytes <= sizes.offload_on_device(GEOMETRY, SchemeSettings(residual=residual), max(layer.seen, 1), 2)


def test_rows_can_be_taken_in_another_order() -> None:
    new = torch.randn(2, 2, 2, 20, 8)
    layer = OffloadLayer(context(3), CPU)
    layer.append(*new)
    layer.reorder_cache(torch.tensor([1, 1]))
    keys, _ = layer.append(*new[:, :, :, :1])
    assert torch.equal(keys[:, :, :20], new[0, [1, 1]])


def test_without_a_gpu_it_is_refused_with_the_reason() -> None:
    with pytest.raises(RequestError, match="no GPU is in use"):
        OffloadLayer(context(3))


@pytest.mark.gpu
def test_on_a_gpu_the_history_is_the_same() -> None:
    device = torch.device("cuda")
    chosen = LayerContext(0, GEOMETRY, SchemeSettings(residual=4), 96, 2, None, device, torch.bfloat16)
    layer, plain = OffloadLayer(chosen), StaticKvLayer(96)
    for count in (40, 1, 1, 7, 1, 30):
        new = torch.randn(2, 2, 2, count, 8, dtype=torch.bfloat16, device=device)
        found, expected = layer.append(*new), plain.append(*new)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])

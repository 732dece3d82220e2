"""Layers, caches and small models for the tests of cache schemes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from core.kvcache.catalog.catalog import SCHEMES
from core.kvcache.catalog.settings import SchemeSettings
from core.kvcache.storage.build import LayerContext
from core.models.kv_geometry import Geometry
from core.paging.slots import Scratch
from core.runs.registry import load
from core.runtime.cache import KvCache, KvLayer

MINE = ("int8", "int4", "fp8-e4m3", "fp8-e5m2", "kivi-4", "kivi-2", "sliding", "streaming", "h2o", "snapkv")
CONFIG: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def geometry(head_dim: int = 16, kv_heads: int = 2, layers: int = 1, value_bytes: int = 4, heads: int = 4) -> Geometry:
    return Geometry(layers, 0, None, heads, kv_heads, head_dim, value_bytes)


def layer(name: str, settings: SchemeSettings | None = None, shape: Geometry | None = None, dtype: torch.dtype = torch.float32) -> KvLayer:
    shape = shape or geometry()
    frequencies = 10000.0 ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim)
    kind = cast(Any, load(SCHEMES[name].layer))
    context = LayerContext(0, shape, settings or SchemeSettings(), 4096, 1, frequencies, torch.device("cpu"), dtype, Scratch())
    return cast(KvLayer, kind(context))


def states(shape: Geometry, tokens: int, seed: int = 0, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Keys with an offset and a spread of its own for each channel, as models have them, and values."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (batch, shape.kv_heads, tokens, shape.head_dim)
    offsets, spreads = torch.randn(shape.head_dim, generator=generator), torch.rand(shape.head_dim, generator=generator) * 3
    return torch.randn(sizes, generator=generator) * spreads + 2 * offsets, torch.randn(sizes, generator=generator)


def parts(total: int, cuts: list[int]) -> Iterator[slice]:
    """Runs of these lengths, and then single tokens, until `total` tokens are given."""
    first = 0
    while first < total:
        length = min(cuts.pop(0) if cuts else 1, total - first)
        yield slice(first, first + length)
        first += length


def fill(part: KvLayer, keys: Tensor, values: Tensor, cuts: list[int], heads: int = 4, *, prompt: int | None = None) -> tuple[Tensor, Tensor]:
    """Append in runs, with random queries for those who look; copies of what the last run looked at."""
    generator = torch.Generator().manual_seed(1)
    looked_at = (keys[:, :, :0], values[:, :, :0])
    for run in parts(keys.shape[2], list(cuts)):
        looked_at = part.append(keys[:, :, run].clone(), values[:, :, run].clone())
        if part.observes:
            query = torch.randn((keys.shape[0], heads, run.stop - run.start, keys.shape[3]), generator=generator)
            part.observe(query.to(keys.dtype), looked_at[0], keys.shape[3] ** -0.5)
        looked_at = looked_at[0].clone(), looked_at[1].clone()
        if prompt is not None and run.stop == prompt:
            part.prefilled()
    return looked_at


def tiny_llama(seed: int = 0, **changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return _still(LlamaForCausalLM(LlamaConfig(**{**CONFIG, **changes})))


def _still(model: Any) -> Any:
    model.eval()
    model.requires_grad_(False)
    return model


def cache_for(model: Any, name: str, settings: SchemeSettings | None = None, tokens: int = 256) -> KvCache:
    from core.kvcache.storage.build import build_cache

    return build_cache(model, name, settings or SchemeSettings(), tokens)


def cache_with(model: Any, kind: Any, settings: SchemeSettings | None = None, tokens: int = 256) -> KvCache:
    """A cache of a layer class that is in no catalog."""
    from core.kvcache.storage.build import card_of, inverse_frequencies

    shape, scratch = Geometry.of(card_of(model), model.dtype.itemsize), Scratch()
    frequencies, sizes = inverse_frequencies(model), settings or SchemeSettings()
    context = (shape, sizes, tokens, 1, frequencies, model.device, model.dtype, scratch)
    return KvCache([kind(LayerContext(index, *context)) for index in range(shape.layers)])
